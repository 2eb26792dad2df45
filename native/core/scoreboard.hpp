// The shared memory of a server: a header, the table of users, and a slot for each child.
//
// Who writes: the front creates it and writes the users; the supervisor writes the counts of the
// header and gives slots away and takes them back; a child writes its own slot and nothing else.
// Who reads: everyone, at any time, without a lock. Hence fixed-width lock-free atomics, no
// pointers, no types of the C library. Numbers that can be counted from the slots are never kept
// beside them. shm_open(3), shm_overview(7).
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fd.hpp"
#include "protocol.hpp"

namespace kilofork {

enum class State : std::uint8_t {
  vacant,    // no process has the slot
  starting,  // forked, not yet in accept()
  idle,      // in accept()
  reading,   // has a client, waits for its next request
  working,   // a request is received and not yet answered
  replying,  // the work is done: record, count, reply
  stopping,  // was told to leave
};

struct Occupancy {
  pid_t pid;  // 0 while vacant, and until a starting child has run its first step
  State state;
  std::int64_t since;  // milliseconds after Header::created
};

// One child's place. Two cache lines: the pair that the hardware prefetches together.
struct alignas(128) Slot {
  std::atomic<std::uint64_t> word;         // an Occupancy, see pack()
  std::atomic<std::uint64_t> total;        // requests of every child that ever had this slot
  std::atomic<std::uint64_t> connections;  // likewise
  std::array<std::atomic<std::uint64_t>, kRefusals> refused;  // likewise, by Refusal
  std::atomic<std::uint32_t> log_generation;                  // the log that the child writes to

  [[nodiscard]] Occupancy occupancy() const;
  // The one function that makes a transition.
  void enter(pid_t pid, State state, std::int64_t since);
};

// The user names that may send requests, kept twice: the front writes the table that no one
// reads and then turns the generation, so a front that dies half-way changes nothing.
class UserTable {
 public:
  static constexpr std::size_t kLongestName = 31;
  struct Name {
    std::array<std::atomic<std::uint64_t>, 4> words;  // 31 bytes and the length, big-endian
  };

  UserTable(std::byte* memory, std::uint32_t capacity) : memory_(memory), capacity_(capacity) {}
  static std::size_t bytes(std::uint32_t capacity);

  // Front. The names must fit: at most `capacity` of them, each of 1 to kLongestName bytes.
  void replace(const std::vector<std::string>& names);
  // Child. Never waits for the front.
  [[nodiscard]] bool contains(std::string_view name) const;

 private:
  struct Head {
    std::atomic<std::uint64_t> generation;  // its lowest bit names the table in use
    std::array<std::atomic<std::uint32_t>, 2> count;
  };
  [[nodiscard]] Head& head() const { return *reinterpret_cast<Head*>(memory_); }
  [[nodiscard]] Name* table(std::uint64_t generation) const;

  std::byte* memory_;
  std::uint32_t capacity_;
};

// What a stranger needs to know to read the segment, and what the server is.
struct Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint32_t slot_bytes;
  std::uint32_t slot_count;
  std::uint32_t user_capacity;
  std::int32_t front;  // pid
  std::uint32_t port;
  std::int64_t created;                       // CLOCK_MONOTONIC, nanoseconds
  std::int64_t created_realtime;              // CLOCK_REALTIME, nanoseconds
  std::array<char, 256> host;                 // as it was asked for
  std::array<char, 64> address;               // as it was bound
  std::atomic<std::int32_t> supervisor;       // pid
  std::atomic<std::uint32_t> log_generation;  // grows when the log is reopened
  std::atomic<std::uint64_t> forked;          // children, ever
  std::atomic<std::uint64_t> left;            // ended by an order to retire or stop
  std::atomic<std::uint64_t> died;            // ended in any other way
};

class Scoreboard {
 public:
  struct Identity {
    std::string host;
    std::string address;
    std::uint16_t port;
  };

  // Front: creates the segment under `name` ("/…"), mode 0600, with its memory allocated, and
  // holds a shared flock(2) on it. Throws SystemError; then nothing is left behind.
  static Scoreboard create(const std::string& name, std::uint32_t slots, std::uint32_t users,
                           const Identity& identity);
  // Supervisor and readers: maps what `fd` refers to. Throws SystemError, EPROTO when it is not a
  // segment of this version.
  static Scoreboard map(Fd fd, bool writable);
  // As map(), by name; who writes holds a lock of its own.
  static Scoreboard open(const std::string& name, bool writable);
  // Removes the segment when no process holds a lock on it: its server is gone. False: it lives,
  // or belongs to someone else, or is not there.
  static bool sweep(const std::string& name);
  static void remove(const std::string& name);

  Scoreboard(Scoreboard&& other) noexcept;
  Scoreboard& operator=(Scoreboard&&) = delete;
  ~Scoreboard();

  [[nodiscard]] Header& header() const { return *reinterpret_cast<Header*>(memory_.data()); }
  [[nodiscard]] UserTable users() const;
  [[nodiscard]] std::span<Slot> slots() const;
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Requests counted, over all slots.
  [[nodiscard]] std::uint64_t total() const;
  // Milliseconds since the segment was created: the clock of Occupancy::since. Read from the
  // coarse clock, a few milliseconds behind at most.
  [[nodiscard]] std::int64_t age() const;

 private:
  Scoreboard(Fd fd, std::span<std::byte> memory) : fd_(std::move(fd)), memory_(memory) {}

  Fd fd_;
  std::span<std::byte> memory_;
};

}  // namespace kilofork
