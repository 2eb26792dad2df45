// Wakes the supervisor from its wait: an eventfd(2) that its children and the syncer write to.
#pragma once

#include <unistd.h>

#include <cstdint>

namespace kilofork {

// Child or syncer. Does not block. Safe in a signal handler.
inline void wake_up(int wakeup) {
  const std::uint64_t one = 1;
  (void)!::write(wakeup, &one, sizeof one);
}

}  // namespace kilofork
