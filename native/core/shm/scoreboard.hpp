// The shared memory of a server: a header, the table of users, a slot for each child.
//
// The front creates it and writes the users; header.hpp, slot.hpp and group_commit.hpp say who
// writes which word of the rest. All may read at any time, without locks. What can be counted from
// the slots is not kept beside them. shm_overview(7).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/cause.hpp"
#include "base/pool_bounds.hpp"
#include "shm/header.hpp"
#include "shm/segment.hpp"
#include "shm/slot.hpp"
#include "shm/user_table.hpp"

namespace kilofork {

class Scoreboard {
 public:
  static constexpr std::uint32_t kVersion = 8;
  static constexpr std::uint32_t kMostSlots = 1'000'000;

  // What the header says about the server, and never changes.
  struct Identity {
    std::string host;
    std::string address;
    std::uint16_t port = 0;
    std::uint32_t backlog = 0;
    PoolBounds bounds{};
    bool synced = false;
    bool spooled = false;
    bool per_request = false;
    Nanoseconds grace = 0;
    std::string log;
    std::string release;
  };

  // Front. Throws SystemError, and leaves nothing behind then.
  static Scoreboard create(const std::string& name, std::uint32_t slots, std::uint32_t users,
                           const Identity& identity);
  // A segment that exists. Throws SystemError, EPROTO, if it has another version, or more slots
  // than a server can have.
  explicit Scoreboard(Segment segment);

  // A reader with a copy: reads the header anew, or the slots. Nothing if the memory is shared.
  // Throws SystemError, EPROTO, if the segment has shrunk or has another layout now.
  void refresh_header();
  void refresh_slots();

  [[nodiscard]] Header& header() const { return *reinterpret_cast<Header*>(memory().data()); }
  [[nodiscard]] UserTable users() const;
  [[nodiscard]] std::span<Slot> slots() const;
  // By slot. Side by side, so that they are counted quickly.
  [[nodiscard]] std::span<PeerAddress> peers() const;
  [[nodiscard]] int fd() const { return segment_.fd(); }

  // Requests that were answered: the sum over all slots.
  [[nodiscard]] std::uint64_t total() const;

  // Supervisor, and the front once the supervisor is gone.
  void count_fork(Cause cause, int times = 1);
  void count_end(Cause cause);
  void vacate(std::size_t slot);
  // Called when all slots are vacant: counts as orphaned every child whose fork was counted and
  // whose end was not.
  void count_orphans();

  // Milliseconds since the segment was created, by the coarse clock, which is some of them behind.
  [[nodiscard]] std::int64_t age() const;

 private:
  struct Unchecked {};
  Scoreboard(Segment segment, Unchecked /*tag*/) : segment_(std::move(segment)) {}
  void check_layout() const;
  [[nodiscard]] std::span<std::byte> memory() const { return segment_.memory(); }

  Segment segment_;
};

}  // namespace kilofork
