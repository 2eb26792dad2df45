// How supervisor, syncer and children handle signals. sigaction(2).
#pragma once

#include <signal.h>

namespace kilofork {

// No other handler runs meanwhile. No SA_RESTART: a signal must end the call that waits.
inline void handle_signal(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);
  ::sigaction(signal, &action, nullptr);
}

}  // namespace kilofork
