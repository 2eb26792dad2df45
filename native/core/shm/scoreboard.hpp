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

#include "base/cause.hpp"
#include "base/clock.hpp"
#include "base/fd.hpp"
#include "base/pool_bounds.hpp"
#include "base/protocol.hpp"
#include "shm/group_commit.hpp"

namespace kilofork {

enum class State : std::uint8_t {
  vacant,    // no process has the slot
  starting,  // forked, not yet in accept()
  idle,      // in accept()
  reading,   // has a client, waits for its next request
  working,   // a request is received and not yet answered
  syncing,   // the work is done: its record is written, and waits for the disk
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
  std::atomic<std::uint64_t> retracted;    // likewise: completed, but never acknowledged
  std::atomic<std::uint32_t> log_epoch;    // the log that the child writes to
  std::atomic<std::uint32_t> child_epoch;  // of the child, see Header

  [[nodiscard]] Occupancy occupancy() const;
  // The one function that makes a transition.
  void enter(pid_t pid, State state, std::int64_t since);
  // Two that may come at the same time; one of them fails. A child takes a slot that was reserved
  // for it, or whoever reserved it takes it back.
  bool claim(std::uint64_t reserved, pid_t pid);
  bool give_up(std::uint64_t reserved, std::int64_t since);
};

// The user names that may send requests, kept twice: the front writes the table that no one
// reads and then turns the generation, so a front that dies half-way changes nothing.
class UserTable {
 public:
  static constexpr std::size_t kLongestName = kLongestUser;
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
    std::atomic<std::uint64_t> version;  // its lowest bit names the table in use
    std::array<std::atomic<std::uint32_t>, 2> count;
  };
  [[nodiscard]] Head& head() const { return *reinterpret_cast<Head*>(memory_); }
  [[nodiscard]] Name* table(std::uint64_t version) const;

  std::byte* memory_;
  std::uint32_t capacity_;
};

// What keeps the supervisor from forking a child that is needed.
enum class GrowthLimit : std::uint8_t {
  none,
  maximum,    // the pool has all the children that it may have
  memory,     // the system has too little left
  processes,  // fork(2) failed
  births,     // the last child died before it could accept
};

// Records that the log lacks: a full disk took none.
struct PendingRecords {
  std::atomic<std::uint32_t> torn_heads;  // their markers; the writers have gone
  std::atomic<std::uint32_t> ends;        // of children
};

// One line of text that changes. A reader gets the last one, or nothing while it is written.
class Notice {
 public:
  static constexpr std::size_t kBytes = 248;

  // Front. What does not fit is cut off.
  void put(std::string_view text);
  [[nodiscard]] std::optional<std::string> get() const;

 private:
  std::atomic<std::uint64_t> sequence_;  // odd while it is written
  std::array<std::atomic<std::uint64_t>, kBytes / 8> words_;
};

// What the front can be asked for while the server runs.
enum class Order : std::uint8_t { reload, reopen, replace };
constexpr std::size_t kOrders = 3;

// What became of an order, as the front says.
struct Answer {
  std::atomic<std::uint32_t> count;  // of answers
  std::atomic<std::uint32_t> is_yes;
  Notice text;
};

// What a stranger needs to know to read the segment, and what the server is. Times of the kind
// "age" are Scoreboard::age(), 0 for never.
struct Header {
  // Written once, by the front, before anyone else can see it.
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t header_bytes;
  std::uint32_t slot_bytes;
  std::uint32_t slot_count;
  std::uint32_t user_capacity;
  std::int32_t front;  // pid
  std::uint32_t port;
  std::uint32_t backlog;
  std::uint32_t start, min_spare, max_spare;  // see PoolBounds; the maximum is slot_count
  std::uint32_t synced;                       // 1: acknowledgements wait for the disk
  std::uint64_t pid_namespace;                // the one that all the pids are of: pid_namespaces(7)
  std::int64_t created;                       // CLOCK_MONOTONIC, nanoseconds
  std::int64_t created_realtime;              // CLOCK_REALTIME, nanoseconds
  std::array<char, 256> host;                 // as it was asked for
  std::array<char, 64> address;               // as it was bound
  std::array<char, 512> log;                  // path
  std::array<char, 32> release;               // of kilofork

  // Read by the children with every record and connection, hence apart from what changes often.
  alignas(128) std::atomic<std::uint32_t> log_epoch;  // grows when the log is reopened
  std::atomic<std::uint32_t> log_error;               // of the last write; 0: it went well
  std::atomic<std::uint32_t>
      supervisor_parked;  // 1: who changes from busy to idle or back calls it
  PendingRecords pending;
  UtcOffset utc_offset;  // of the times in the log

  // Written by the children and the syncer.
  alignas(128) GroupCommit commit;
  std::atomic<std::int32_t> syncer;            // pid, 0: there is none; by the supervisor
  std::atomic<std::int32_t> forker;            // likewise
  std::atomic<std::uint32_t> oldest_unsynced;  // log that is not dead and not all on disk

  // Written by the supervisor.
  alignas(128) std::atomic<std::int32_t> supervisor;  // pid
  std::atomic<std::uint32_t> child_epoch;   // grows with each order to replace all children
  std::atomic<std::uint32_t> log_settled;   // the log that every child has turned to
  std::atomic<std::uint32_t> aborted;       // requests that a stop could not wait for
  std::atomic<std::uint32_t> growth_limit;  // a GrowthLimit
  std::atomic<std::uint32_t> full_times;    // how often all that there may be were busy
  std::atomic<std::int64_t> full_since;     // age; 0: they are not

  std::atomic<std::int64_t> full_before;                   // milliseconds, all the earlier times
  std::array<std::atomic<std::uint64_t>, kCauses> forked;  // children, by Cause
  std::array<std::atomic<std::uint64_t>, kCauses> ended;   // likewise; also by the front

  // Written by the front.
  alignas(128) std::atomic<std::uint32_t> log_ordered;  // the newest log; children will turn to it
  std::atomic<std::uint32_t> log_number;                // behind its name; 0: there is none
  std::atomic<std::uint32_t> stopping;                  // it was told to; also by the supervisor
  std::array<Answer, kOrders> answers;                  // by Order
};

class Scoreboard {
 public:
  static constexpr std::uint32_t kVersion = 6;

  // What the header says for good.
  struct Identity {
    std::string host;
    std::string address;
    std::uint16_t port = 0;
    std::uint32_t backlog = 0;
    PoolBounds limits{};
    bool synced = false;
    std::string log;
    std::string release;
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
  // Whether a process holds a lock on it. True when that cannot be told.
  static bool lives(const std::string& name);
  static void remove(const std::string& name);
  // Of this process; 0 where there is no /proc.
  static std::uint64_t pid_namespace();

  Scoreboard(Scoreboard&& other) noexcept;
  Scoreboard& operator=(Scoreboard&&) = delete;
  ~Scoreboard();

  [[nodiscard]] Header& header() const { return *reinterpret_cast<Header*>(memory_.data()); }
  [[nodiscard]] UserTable users() const;
  [[nodiscard]] std::span<Slot> slots() const;
  // By slot: which address the child's client has, as a number that is the same for the same
  // address; 0: it has none, or nobody wants to know. Side by side, so that a count is quick.
  [[nodiscard]] std::span<std::atomic<std::uint64_t>> peers() const;
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Requests counted, over all slots.
  [[nodiscard]] std::uint64_t total() const;
  // Supervisor, and the front when that is gone.
  void count_fork(Cause cause, int times = 1);
  void count_end(Cause cause);
  // Likewise: nobody has that slot any more.
  void vacate(std::size_t slot);
  // When all slots are vacant: whoever was forked, and whose end was not counted, was orphaned.
  void count_orphans();
  // Milliseconds since the segment was created: the clock of Occupancy::since. Read from the
  // coarse clock, a few milliseconds behind at most.
  [[nodiscard]] std::int64_t age() const;

 private:
  Scoreboard(Fd fd, std::span<std::byte> memory) : fd_(std::move(fd)), memory_(memory) {}

  Fd fd_;
  std::span<std::byte> memory_;
};

}  // namespace kilofork
