// How a server ends: children finish their requests, then they are told to leave at once, then they
// are killed; meanwhile the clients in the accept queue are refused. Supervisor only.
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
    stopping,  // SIGUSR2: children finish their requests, for the time of grace
    quitting,  // SIGQUIT: they leave at once, by a caught signal
    killing,   // SIGKILL
  };

  Shutdown(PoolParts& parts, int listener);

  [[nodiscard]] bool has_begun() const { return phase_ != Phase::none; }
  // Goes on to that phase, unless it is over already.
  void advance(Phase phase);
  // In the loop: goes on to the next phase when the time of this one is over.
  void escalate();
  // In the loop: refuses who waits in the accept queue.
  void drain() { backlog_drain_.run(); }

  // A child has ended in the middle of a request.
  void count_aborted();
  [[nodiscard]] std::uint64_t aborted() const { return aborted_; }

  // When all children are gone: no further connection is accepted, and the last refused clients get
  // some time to read. True while the loop is to go on with that.
  void close_backlog();
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
