// How supervisor, syncer and children set their signal handlers. sigaction(2).
#pragma once

#include <signal.h>

namespace kilofork {

// All signals are blocked while a handler runs. Without SA_RESTART, a signal interrupts a call that
// waits.
inline void handle_signal(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace kilofork
