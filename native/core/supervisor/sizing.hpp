// The rule by which the pool grows and shrinks. Is given samples of the pool, and says how many
// children to fork and how many to retire. Runs in the supervisor; makes no system call.
//
// Growing:   fork = waiting clients + min_spare - idle children - children whose clients leave soon
// All of these are forked at once. A queue that the present children empty within kSoon costs no
// fork; for any other queue, each client that they do not serve gets a child.
//
// Shrinking: surplus = children beyond max_spare that were idle during the whole of shrink_after
// In each eighth of that time an eighth of them, at least one, retires.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"
#include "base/pool_bounds.hpp"

namespace kilofork {

// The pool at one instant.
struct Census {
  std::size_t alive = 0;
  std::size_t idle = 0;       // wait for a client, or soon will; without those told to leave
  std::size_t waiting = 0;    // connections in the kernel's accept queue; with a keeper, those
                              // that are ready, too, and that a child has not begun
  std::int64_t finished = 0;  // connections that have ended since the server began

  bool operator==(const Census&) const = default;
};

// How many children to fork, by cause.
struct Need {
  std::size_t queue = 0;
  std::size_t spare = 0;
};

class Sizing {
 public:
  // The time between samples while something changes.
  static constexpr Nanoseconds kSampleEvery = 10 * kMillisecond;
  // A client that leaves within this time makes room for one that waits.
  static constexpr Nanoseconds kSoon = 50 * kMillisecond;

  explicit Sizing(const PoolBounds& bounds) : bounds_(bounds) {}

  // The first sample after a pause. It only sets the beginning of what the next one measures.
  void begin(const Census& census, Nanoseconds now);
  // To be called at least kSampleEvery after the last sample.
  [[nodiscard]] Need sample(const Census& census, Nanoseconds now);

  // How many idle children to retire now.
  [[nodiscard]] std::size_t surplus(std::size_t idle, Nanoseconds now);
  // When to ask for the surplus again; 0: when something has changed.
  [[nodiscard]] Nanoseconds next_surplus(std::size_t idle) const {
    return idle > bounds_.max_spare ? step_ends_ : 0;
  }

 private:
  static constexpr std::size_t kSteps = 8;

  PoolBounds bounds_;
  std::int64_t finished_ = 0;
  Nanoseconds sampled_at_ = 0;
  std::size_t missing_spare_ = 0;  // in the last sample

  std::array<std::size_t, kSteps> lows_{};  // the fewest that were idle, in each of the last steps
  std::size_t step_ = 0;
  Nanoseconds step_ends_ = 0;
};

}  // namespace kilofork
