// How many children a pool may have, and how many of them may be idle. Set by the front.
#pragma once

#include <cstddef>

#include "base/clock.hpp"

namespace kilofork {

// In a static pool, start, max_spare and max are the same number, and min_spare is 0.
struct PoolBounds {
  std::size_t start = 0;
  std::size_t min_spare = 0;
  std::size_t max_spare = 0;
  std::size_t max = 0;
  Nanoseconds shrink_after = 0;  // how long a child beyond max_spare must have been idle

  [[nodiscard]] bool is_dynamic() const { return start < max || max_spare < max; }
};

}  // namespace kilofork
