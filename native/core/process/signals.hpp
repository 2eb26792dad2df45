// Sets signal handlers, in supervisor, syncer and children. sigaction(2).
#pragma once

#include <signal.h>
#include <unistd.h>

namespace kilofork {

// All signals are blocked while the handler runs. SA_RESTART is not set, so that a signal
// interrupts a system call that waits.
inline void handle_signal(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

// Called by forker and syncer: moves the process, and those that it will fork, to a process group
// of its own. When the supervisor dies, the kernel finds that the group has become orphaned, and
// sends SIGHUP and SIGCONT to it if one of its processes is stopped. So a stopped process continues
// and handles the signal of its PR_SET_PDEATHSIG. setpgid(2).
inline void leave_process_group() {
  ::setpgid(0, 0);
}

}  // namespace kilofork
