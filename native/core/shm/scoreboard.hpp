// The shared memory of a server: a header, the table of users, a slot for each child.
//
// The front creates it and writes the users. The supervisor reserves and vacates slots and writes
// its part of the header. A child writes its own slot. Everybody reads at any time, without locks.
// What can be counted from the slots is not kept beside them. shm_overview(7).
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
  static constexpr std::uint32_t kVersion = 6;

  // What the header says about the server for the whole of its life.
  struct Identity {
    std::string host;
    std::string address;
    std::uint16_t port = 0;
    std::uint32_t backlog = 0;
    PoolBounds bounds{};
    bool synced = false;
    std::string log;
    std::string release;
  };

  // Front. Throws SystemError; then nothing is left behind.
  static Scoreboard create(const std::string& name, std::uint32_t slots, std::uint32_t users,
                           const Identity& identity);
  // Takes a segment that exists. Throws SystemError, with EPROTO if it has another version.
  explicit Scoreboard(Segment segment);

  [[nodiscard]] Header& header() const { return *reinterpret_cast<Header*>(memory().data()); }
  [[nodiscard]] UserTable users() const;
  [[nodiscard]] std::span<Slot> slots() const;
  // By slot: the address of the child's client as a number, the same for the same address; 0
  // without a client, or where addresses have no limit. Side by side, so that they are counted
  // quickly.
  [[nodiscard]] std::span<std::atomic<std::uint64_t>> peers() const;
  [[nodiscard]] int fd() const { return segment_.fd(); }

  // Requests that were answered, over all slots.
  [[nodiscard]] std::uint64_t total() const;

  // Supervisor, and the front once that is gone.
  void count_fork(Cause cause, int times = 1);
  void count_end(Cause cause);
  void vacate(std::size_t slot);
  // Counts every child that was forked and has no counted end as orphaned. All slots are vacant.
  void count_orphans();

  // Milliseconds since the segment was created, by the coarse clock: some milliseconds behind.
  [[nodiscard]] std::int64_t age() const;

 private:
  struct Unchecked {};
  Scoreboard(Segment segment, Unchecked /*tag*/) : segment_(std::move(segment)) {}
  [[nodiscard]] std::span<std::byte> memory() const { return segment_.memory(); }

  Segment segment_;
};

}  // namespace kilofork
