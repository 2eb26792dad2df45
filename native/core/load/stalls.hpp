// When a load engine did not run although it had something to do: its process was stopped, or got
// no processor. An open loop falls behind its schedule by that; what it then sends late, or never,
// is the client's lag and not the server's.
#pragma once

#include <algorithm>
#include <vector>

#include "base/clock.hpp"

namespace kilofork {

class Stalls {
 public:
  // A shorter lag is one event's alone: the engine was at work on other events.
  static constexpr Nanoseconds kLeast = 20 * kMillisecond;

  // Something that the engine does `now` could have been done `lag` earlier. `now` never decreases.
  void note(Nanoseconds now, Nanoseconds lag) {
    Nanoseconds from = now - lag;
    while (!stalls_.empty() && stalls_.back().until >= from) {
      from = std::min(from, stalls_.back().from);
      stalls_.pop_back();
    }
    stalls_.push_back({.from = from, .until = now});
  }

  // How much of the interval the engine was stalled.
  [[nodiscard]] Nanoseconds within(Nanoseconds from, Nanoseconds until) const {
    Nanoseconds sum = 0;
    for (auto stall = stalls_.rbegin(); stall != stalls_.rend() && stall->until > from; ++stall)
      sum += std::max<Nanoseconds>(std::min(stall->until, until) - std::max(stall->from, from), 0);
    return sum;
  }

 private:
  struct Stall {
    Nanoseconds from;
    Nanoseconds until;
  };
  std::vector<Stall> stalls_;  // in order, with gaps between them
};

}  // namespace kilofork
