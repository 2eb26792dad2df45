// A process for each request: the keeper hands the child batches of connections that have sent
// something; each has a turn, and goes back (keeper/batch.hpp). Runs in a child. recvmsg(2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "child/child.hpp"
#include "child/intake.hpp"
#include "keeper/batch.hpp"

namespace kilofork {

class KeeperIntake final : public Intake {
 public:
  // `input`: where the bytes of a connection go that were read in an earlier turn. `memory`:
  // memory_bytes() of it.
  KeeperIntake(const ChildContext& context, const ChildSignals& signals, Slot& slot,
               std::span<char> input, std::span<char> memory);
  static std::size_t memory_bytes(const Service& service);

  [[nodiscard]] bool will_wait() const override;
  Took take() override;
  [[nodiscard]] std::size_t held() const override { return batch_.held.at(entry_); }
  [[nodiscard]] bool is_greeted() const override { return true; }
  void give_back(const Connection& connection) override;
  void leave() override;
  void close() const override;
  void end_input() const override {}  // a turn does not wait for input
  void drop() override;

 private:
  Took receive();
  void close_present();
  void close_rest();
  void report(bool done);

  const int keeper_;
  const ChildSignals& signals_;
  BatchWord word_;
  const std::span<char> input_;
  const std::span<char> held_;    // of a batch
  const std::span<char> report_;  // with what is held
  Batch batch_{};
  std::array<int, kMostInBatch> fds_{};
  std::size_t fd_count_ = 0;
  std::size_t entry_ = 0;
  std::size_t begun_ = 0;    // entries before it were begun, or taken back
  std::size_t held_at_ = 0;  // in held_, of the first entry that is not begun
  bool is_done_ = false;     // the batch is, and the keeper knows it
  Report pending_{};         // of the last turn
  std::span<const char> kept_input_;
};

}  // namespace kilofork
