// The wakeup of the supervisor: an eventfd(2) that its children ring to end its wait.
#pragma once

#include <unistd.h>

#include <cstdint>

namespace kilofork {

// Never waits; safe in a signal handler.
inline void wake_up(int wakeup) {
  const std::uint64_t one = 1;
  (void)!::write(wakeup, &one, sizeof one);
}

}  // namespace kilofork
