// The rule by which a pool grows and shrinks. No system call, no clock of its own: it is shown the
// pool from time to time, and says how many children to fork and how many to let go.
//
// Growing: the children that are idle, and those that will be within a moment because their clients
// leave, are set against the clients that wait and the spare children that are wished for. What
// lacks is forked at once. So a queue that is about to be gone is left to the children that are
// there, however long it is; and one that nobody is about to serve is answered in full.
//
// Shrinking is calm: only children that were idle too many during the whole of `shrink_after` are
// let go, an eighth of them with each eighth of that time, at least one.
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
  std::size_t idle = 0;       // in accept() or about to be; not those that were told to leave
  std::size_t waiting = 0;    // connections in the kernel's accept queue
  std::int64_t finished = 0;  // connections that have ended, ever

  bool operator==(const Census&) const = default;
};

// How many children to fork, and why.
struct Need {
  std::size_t queue = 0;
  std::size_t spare = 0;
};

class Sizing {
 public:
  // How often the pool should be looked at while something changes.
  static constexpr Nanoseconds kSampleEvery = 10 * kMillisecond;
  // What "a moment" is: a queue that is gone within it is not worth a fork.
  static constexpr Nanoseconds kMoment = 50 * kMillisecond;

  explicit Sizing(const PoolBounds& limits) : limits_(limits) {}

  // After a time without looks: what happened meanwhile says nothing about the present pace.
  void begin(const Census& census, Nanoseconds now);
  // At least kSampleEvery after the last look.
  [[nodiscard]] Need sample(const Census& census, Nanoseconds now);

  // How many idle children to let go now.
  [[nodiscard]] std::size_t surplus(std::size_t idle, Nanoseconds now);
  // When to ask for the surplus again; 0: not before something has changed.
  [[nodiscard]] Nanoseconds next_surplus(std::size_t idle) const {
    return idle > limits_.max_spare ? step_ends_ : 0;
  }

 private:
  static constexpr std::size_t kSteps = 8;

  PoolBounds limits_;
  std::int64_t finished_ = 0;
  Nanoseconds sampled_at_ = 0;
  std::size_t spare_lack_ = 0;  // at the last look

  std::array<std::size_t, kSteps> lows_{};  // the least that were idle, in each of the last steps
  std::size_t step_ = 0;
  Nanoseconds step_ends_ = 0;
};

}  // namespace kilofork
