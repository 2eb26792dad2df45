// Sets signal handlers, in supervisor, syncer and children. sigaction(2).
#pragma once

#include <signal.h>

namespace kilofork {

// All signals are blocked while the handler runs. SA_RESTART is not set, so that a signal
// interrupts a system call that waits.
inline void handle_signal(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace kilofork
