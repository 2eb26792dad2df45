// How a server stops: children finish their requests, then they are told to quit, then they are
// killed; meanwhile the clients in the accept queue are refused. Runs in the supervisor. The order
// comes from the front or by SIGTERM, see Pool::take_orders(); what a child does about it is in
// child/child_signals.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.hpp"
#include "supervisor/backlog_drain.hpp"
#include "supervisor/pool_parts.hpp"

namespace kilofork {

class Shutdown {
 public:
  // Phases follow each other in this order only; some may be left out.
  enum class Phase : std::uint8_t {
    none,
    stopping,  // SIGUSR2: children may finish their requests, within `grace`
    quitting,  // SIGQUIT: children leave at once, in their signal handlers
    killing,   // SIGKILL
  };

  Shutdown(PoolParts& parts, int listener);

  [[nodiscard]] bool has_begun() const { return phase_ != Phase::none; }
  // Goes on to that phase, unless it has begun already.
  void advance(Phase phase);
  // In the loop: goes on to the next phase when the time of this one is over.
  void escalate();
  // In the loop: refuses the clients in the accept queue.
  void drain() { backlog_drain_.run(); }

  // A child has ended in the middle of a request.
  void count_aborted();
  [[nodiscard]] std::uint64_t aborted() const { return aborted_; }

  // Called when all children are gone: no further connection is accepted.
  void close_backlog();
  // True while the last refused clients have time to read.
  [[nodiscard]] bool has_readers() const;

  void add_to(std::vector<pollfd>& polled) const { backlog_drain_.add_to(polled); }
  [[nodiscard]] Nanoseconds next_deadline() const;

 private:
  PoolParts& parts_;
  BacklogDrain backlog_drain_;
  Phase phase_ = Phase::none;
  Nanoseconds phase_ends_ = kNever;
  Nanoseconds readers_leave_ = 0;
  std::uint64_t aborted_ = 0;
};

}  // namespace kilofork
