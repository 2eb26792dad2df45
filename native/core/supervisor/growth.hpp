// How the pool follows the load: samples it, forks what is needed, retires what is not, and holds
// back where the machine or the children fail. The rule itself is in sizing.hpp. Supervisor only.
//
// While nothing changes the pool is parked: it is not sampled. The next child that turns from idle
// to busy or back wakes the supervisor, and sampling begins again.
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

  // In the loop. `log_epoch`: of the log that new children are forked with.
  void sample();
  void top_up(std::uint32_t log_epoch);

  // A child has changed its state, or has ended.
  void unpark();
  // A child died before it could accept, or fork(2) failed: wait before the next fork.
  void back_off(GrowthLimit limit);
  void set_limit(GrowthLimit limit);

  // A full pool that is parked: no child will wake us for the next client, the listener must.
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

  PoolParts& parts_;
  Forker& forker_;
  Sizing sizing_;
  const int listener_;

  Need need_{};  // by the last sample
  int unchanged_samples_ = 0;
  bool parked_ = true;
  Nanoseconds next_sample_ = 0;

  Nanoseconds back_off_ = 0;
  Nanoseconds may_fork_at_ = 0;
  bool forker_lost_ = false;  // at the last fork
};

}  // namespace kilofork
