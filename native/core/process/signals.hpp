// Sets signal handlers, in supervisor, syncer and children. sigaction(2).
#pragma once

#include <signal.h>
#include <sys/prctl.h>

namespace kilofork {

// All signals are blocked while the handler runs. SA_RESTART is not set, so that a signal
// interrupts a system call that waits.
inline void handle_signal(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

// From now on the kernel sends SIGCONT when the parent dies: that continues a process that is
// stopped or is about to stop, and lets its handler find that the parent has changed. Anybody
// else's SIGCONT finds the same parent. PR_SET_PDEATHSIG(2const).
inline void continue_when_parent_dies() {
  ::prctl(PR_SET_PDEATHSIG, SIGCONT);
}

}  // namespace kilofork
