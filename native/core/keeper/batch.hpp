// What keeper and child tell each other about connections: the keeper hands a child a batch, the
// child reports what becomes of each. Both travel as messages over the child's own pair of sockets
// (SOCK_SEQPACKET), the connections as descriptors of the keeper's message. unix(7).
//
// Which connections of a batch the child has begun stands in one word of its slot. The child takes
// the next one by compare-and-swap before it touches the descriptor, and the keeper takes back
// those that are not begun likewise. So, whoever dies, stops or is slow: a child loses the
// connection that it had begun, and no other.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/fd.hpp"

namespace kilofork {

constexpr std::size_t kMostInBatch = 32;

// Keeper to child, with a descriptor for each connection. An empty batch asks for a report.
struct Batch {
  std::uint32_t ticket;
  std::uint32_t count;
  // The bytes that had been read of each, and were not answered; they follow, in this order.
  std::array<std::uint16_t, kMostInBatch> held;
};

// What may be held of all connections of a batch. `of_one`: of one connection.
constexpr std::size_t most_held_in_batch(std::size_t of_one) {
  return 8 * of_one;
}

// What becomes of a connection after the child's turn.
enum class Fate : std::uint8_t {
  kept,     // waits for the next request
  more,     // has more input now
  leaving,  // was refused: its client gets time to read why
  ended,
};
constexpr std::uint8_t kFates = 4;

// Child to keeper, with what is held of the connection. A connection without a report was kept, and
// nothing of it is held.
struct Report {
  static constexpr std::uint8_t kNone = kMostInBatch;
  std::uint32_t ticket;
  std::uint8_t entry;  // of the batch, or kNone
  Fate fate;
  std::uint8_t new_line;  // 1: what is held began in this turn
  std::uint8_t done;      // 1: the child waits for the next batch
};

// The word.
class BatchWord {
 public:
  struct Value {
    std::uint32_t ticket;
    std::uint16_t next;  // the first entry that is not begun
    std::uint16_t end;
  };

  explicit BatchWord(std::atomic<std::uint64_t>& word) : word_(word) {}
  [[nodiscard]] Value get() const;

  // ---- keeper ----
  void set(std::uint32_t ticket, std::size_t count);
  // Takes back the entries that are not begun. Returns how many are.
  std::size_t take_back();
  // ---- child ----
  // The next entry of this batch; none if all are begun or taken back.
  std::optional<std::size_t> take(std::uint32_t ticket);

 private:
  std::atomic<std::uint64_t>& word_;
};

}  // namespace kilofork
