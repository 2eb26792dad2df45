// Replaces all children by order, a part of the pool at a time: the next ones retire when the
// successors of the last ones are up. Supervisor only.
#pragma once

#include <string>

#include "base/clock.hpp"
#include "supervisor/pool_parts.hpp"

namespace kilofork {

class Replacement {
 public:
  explicit Replacement(PoolParts& parts) : parts_(parts) {}

  // `executable`: of the supervisor that is to replace this one first; empty: none.
  void order(std::string executable);
  [[nodiscard]] bool is_ordered() const { return ordered_; }
  // Begins the next epoch of children; returns that executable.
  std::string begin();
  // The supervisor that ordered it has been replaced by this one.
  void resume() { running_ = true; }

  // In the loop.
  void retire_some();
  // A child has ended: there may be room for the next ones.
  void retire_soon() { next_ = 0; }
  [[nodiscard]] Nanoseconds next_deadline() const { return running_ ? next_ : kNever; }

 private:
  PoolParts& parts_;
  bool ordered_ = false;
  bool running_ = false;
  std::string executable_;
  Nanoseconds next_ = 0;
};

}  // namespace kilofork
