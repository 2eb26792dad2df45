// A process for each connection: accept(2) on the listener that all children share. A connection
// has one turn, until it ends. Runs in a child. accept(2), poll(2).
#pragma once

#include <cstdint>

#include "child/child.hpp"
#include "child/intake.hpp"

namespace kilofork {

class AcceptIntake final : public Intake {
 public:
  AcceptIntake(const ChildContext& context, const ChildSignals& signals, const Slot& slot);

  [[nodiscard]] bool will_wait() const override { return true; }
  Took take() override;
  bool admits() override;
  void give_back(const Connection& connection) override;
  void close() const override;
  void end_input() const override;
  void drop() override;

 private:
  [[nodiscard]] int accept();
  void report(int error);
  [[nodiscard]] std::uint64_t connections_of_peer() const;

  const ChildContext& context_;
  const ChildSignals& signals_;
  PeerAddress& peer_;
};

}  // namespace kilofork
