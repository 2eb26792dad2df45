// A child's place in shared memory: who has it, what that child is doing, and what has been counted
// there. The supervisor writes it until the child claims it, then the child, then the supervisor
// again once the child has ended; the front, once the supervisor has died. All may read; no locks.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/protocol.hpp"

namespace kilofork {

enum class State : std::uint8_t {
  vacant,    // no child has the slot
  starting,  // forked, and not yet waiting for a client
  idle,      // waits for a client
  reading,   // has a client, and waits for its next request
  working,   // has received a request, and works on it
  syncing,   // has written the completed record, and waits until it is on disk
  replying,  // writes the completed record, counts, replies
  stopping,  // leaves
};
inline constexpr auto kStateNames = std::to_array<std::string_view>(
    {"vacant", "starting", "idle", "reading", "working", "syncing", "replying", "stopping"});
static_assert(kStateNames.size() == static_cast<std::size_t>(State::stopping) + 1);

// The address of a child's client, where connections of one address are limited; zero without a
// client. Compared as it is: of a hash, a client could compute a collision.
struct PeerAddress {
  std::array<std::atomic<std::uint64_t>, 2> words;

  void set(const std::array<std::uint64_t, 2>& address);
  void clear() { set({}); }
  [[nodiscard]] std::array<std::uint64_t, 2> get() const;
};

struct Occupancy {
  pid_t pid;  // 0 while vacant, and until a starting child has claimed the slot
  State state;
  std::int64_t since;  // milliseconds after Header::created
};

// Two cache lines, which the hardware prefetches as a pair. A slot keeps its counts when its child
// ends; the next child adds to them, and subtracts what it found to get its own.
struct alignas(128) Slot {
  std::atomic<std::uint64_t> word;   // an Occupancy
  std::atomic<std::uint64_t> total;  // requests that were answered
  std::atomic<std::uint64_t> connections;
  std::array<std::atomic<std::uint64_t>, kRefusals> refused;  // by Refusal
  std::atomic<std::uint64_t> retracted;    // requests that were completed and not acknowledged
  std::atomic<std::uint32_t> log_epoch;    // of the log that the child writes to
  std::atomic<std::uint32_t> child_epoch;  // of the child, see Header
  std::atomic<std::uint64_t> batch;        // see keeper/batch.hpp [keeper, child]

  [[nodiscard]] Occupancy occupancy() const;
  void enter(pid_t pid, State state, std::int64_t since);
  // The child claims the slot that was reserved for it, or the supervisor gives it up. The two may
  // race; exactly one wins and gets true. `reserved`: the word as it was reserved.
  bool claim(std::uint64_t reserved, pid_t pid);
  bool give_up(std::uint64_t reserved, std::int64_t since);
};

}  // namespace kilofork
