// How the pool follows the load: samples it, forks children that are needed, retires those that are
// not, and waits where the machine or the children fail. Asks the rule of sizing.hpp how many. Runs
// in the supervisor.
//
// While nothing changes the pool is parked, which means: not sampled. The next child that turns
// from idle to busy or back wakes the supervisor, and sampling begins again.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/clock.hpp"
#include "shm/header.hpp"
#include "supervisor/forker.hpp"
#include "supervisor/pool_parts.hpp"
#include "supervisor/sizing.hpp"

namespace kilofork {

class Growth {
 public:
  Growth(PoolParts& parts, Forker& forker, int listener)
      : parts_(parts), forker_(forker), sizing_(parts.settings.bounds), listener_(listener) {}

  // In the loop, if it is time: asks the rule, and retires children.
  void sample();
  // In the loop: forks what the last sample needs, and pending successors. `log_epoch`: of the log
  // that new children have.
  void top_up(std::uint32_t log_epoch);

  // A child has changed its state, or has ended.
  void unpark();
  // A child died before it could accept, or fork(2) failed: wait before the next fork.
  void back_off(GrowthLimit limit);
  // False if that is the present limit.
  bool set_limit(GrowthLimit limit);

  // True if the pool is parked and every child is busy: only the listener can tell of a client.
  [[nodiscard]] bool awaits_client() const;
  void sample_soon() { next_sample_ = 0; }
  [[nodiscard]] Nanoseconds next_deadline() const;

 private:
  [[nodiscard]] Census take_census() const;
  void park(Nanoseconds now);
  void note_fullness(const Census& census);
  void fork_needed(Cause cause, std::size_t count, std::uint32_t log_epoch);
  void fork_children(std::span<const std::size_t> slots,
                     const std::function<Cause(std::size_t)>& cause_of, std::uint32_t log_epoch);
  void handle_failed_fork(int error);
  void report_failed_fork(int error);

  PoolParts& parts_;
  Forker& forker_;
  Sizing sizing_;
  const int listener_;

  Need need_{};  // as the last sample found
  int unchanged_samples_ = 0;
  bool parked_ = true;
  Nanoseconds next_sample_ = 0;

  Nanoseconds back_off_ = 0;
  Nanoseconds may_fork_at_ = 0;
  bool forker_lost_ = false;  // at the last fork
};

}  // namespace kilofork
