// Replaces all children by order, a part of the pool at a time: the next part retires when the
// successors of the last part are up. Runs in the supervisor.
#pragma once

#include <string>

#include "base/clock.hpp"
#include "supervisor/pool_parts.hpp"

namespace kilofork {

class Replacement {
 public:
  explicit Replacement(PoolParts& parts) : parts_(parts) {}

  // `executable`: the supervisor's, which is to replace this one first; empty: none.
  void order(std::string executable);
  [[nodiscard]] bool is_ordered() const { return ordered_; }
  // Begins the next epoch of children. Returns the executable of order().
  std::string begin();
  // For the next executable of the supervisor, after begin() in the last one.
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
