// The first page of a server's shared memory: what the server is, and what concerns all children.
// Each field says who writes it; all may read. Fixed-width types and lock-free atomics only:
// programs of other versions read the first fields.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/cause.hpp"
#include "base/clock.hpp"
#include "base/protocol.hpp"
#include "shm/group_commit.hpp"
#include "shm/notice.hpp"

namespace kilofork {

// What keeps the supervisor from forking a child that is needed.
enum class GrowthLimit : std::uint8_t {
  none,
  maximum,    // the pool has as many children as it may have
  memory,     // the system has too little left
  processes,  // fork(2) failed
  births,     // the last child died before it could accept
};
inline constexpr auto kGrowthLimitNames =
    std::to_array<std::string_view>({"none", "maximum", "memory", "processes", "births"});
static_assert(kGrowthLimitNames.size() == static_cast<std::size_t>(GrowthLimit::births) + 1);

// What is missing in the log because the disk was full.
struct PendingRecords {
  std::atomic<std::uint32_t> torn_heads;  // of processes that have ended: markers that close them
  std::atomic<std::uint32_t> ends;        // records of children's ends
};

// Of a log that has a spool, see log/spool.hpp. [the process that copies]
struct SpoolState {
  std::int64_t copied;  // bytes of the spool that the reader was given; the kernel counts them
  std::atomic<std::int64_t> waiting;        // bytes that it was not
  std::atomic<std::int64_t> stalled_since;  // age; 0: the reader takes what is there
};

// Of a server with a process for each request. [keeper]
struct KeeperState {
  std::atomic<std::int32_t> pid;           // 0: none [supervisor]
  std::atomic<std::uint32_t> connections;  // open ones
  std::atomic<std::uint32_t> ready;        // have sent something, and are in no batch
  std::atomic<std::uint64_t> accepted;     // since the server began
  std::array<std::atomic<std::uint64_t>, kRefusals> refused;  // by the keeper itself, by Refusal
};

// What `kilofork ctl` can order the front to do while the server runs.
enum class Order : std::uint8_t { reload, reopen, replace };
inline constexpr auto kOrderNames =
    std::to_array<std::string_view>({"reload", "reopen", "replace"});
constexpr std::size_t kOrders = kOrderNames.size();
static_assert(kOrders == static_cast<std::size_t>(Order::replace) + 1);

// How the last order of a kind ended.
struct Answer {
  std::atomic<std::uint32_t> count;  // of answers
  std::atomic<std::uint32_t> succeeded;
  Notice text;
};

// An "age" is in milliseconds after `created`, 0 for never. Logs are numbered by epochs: the first
// has 0, each that is opened in its place has one more. docs/architecture.md has all positions of
// the log in one table.
struct Header {
  // Written by the front, before anybody else maps the segment.
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
  std::uint32_t synced;                       // 1: a reply waits until its record is on disk
  std::uint32_t spooled;                      // 1: it waits until the log's reader was given it
  std::uint32_t per_request;                  // 1: a process for each request, not connection
  std::uint64_t pid_namespace;                // of all pids in the segment: pid_namespaces(7)
  std::int64_t grace;                         // of a stop, nanoseconds
  std::int64_t created;                       // CLOCK_MONOTONIC, nanoseconds
  std::int64_t created_realtime;              // CLOCK_REALTIME, nanoseconds
  std::array<char, 256> host;                 // as given
  std::array<char, 64> address;               // as bound
  std::array<char, 512> log;                  // path
  std::array<char, 32> release;               // of kilofork

  // Read by children at every record and every connection, hence apart from what changes often. In
  // brackets: who writes it.
  alignas(128) std::atomic<std::uint32_t> log_epoch;  // the newest log for children [supervisor]
  std::atomic<std::uint32_t> log_error;               // errno of the last write; 0: none [children,
                                                      // log writer]
  std::atomic<std::uint32_t> log_refused;   // errno: no record may be written; 0: any [log writer]
  std::atomic<std::uint32_t> accept_error;  // errno of the last accept(2); 0: it succeeded
  std::atomic<std::uint32_t> supervisor_parked;  // 1: wake it when a child turns busy or idle
                                                 // [supervisor]
  PendingRecords pending;                        // [children, supervisor, front]
  UtcOffset utc_offset;                          // of the times in the log [children]

  // Written by children and syncer all the time, hence apart from the rest.
  alignas(128) GroupCommit commit;  // who writes which word: shm/group_commit.hpp
  SpoolState spool;
  std::atomic<std::int32_t> syncer;  // or log writer: pid, 0: none [supervisor]
  std::atomic<std::int32_t> forker;  // pid, 0: none [supervisor]
  std::atomic<std::uint32_t>
      oldest_unsynced;  // older logs are on disk or dead [syncer, supervisor]

  alignas(128) KeeperState keeper;

  // Written by the supervisor.
  alignas(128) std::atomic<std::int32_t> supervisor;  // pid
  std::atomic<std::uint32_t> child_epoch;   // counted up by each order to replace all children
  std::atomic<std::uint32_t> log_settled;   // every child writes to this log or to a newer one
  std::atomic<std::uint32_t> aborted;       // requests that a stop did not wait for
  std::atomic<std::uint32_t> growth_limit;  // a GrowthLimit
  // Full: the pool has its maximum of children, and each has a client.
  std::atomic<std::uint32_t> full_times;  // how often the pool became full
  std::atomic<std::int64_t> full_since;   // age; 0: it is not full
  std::atomic<std::int64_t> full_before;  // milliseconds, the earlier times together
  std::array<std::atomic<std::uint64_t>, kCauses> forked;  // children, by Cause
  std::array<std::atomic<std::uint64_t>, kCauses> ended;   // likewise [front, too]

  // Written by the front.
  alignas(128) std::atomic<std::uint32_t> log_ordered;  // the log that children are ordered to take
  std::atomic<std::uint32_t> log_number;  // at the end of the log's name; 0: the name has none
  std::atomic<std::uint32_t> ready;       // 1: all first children have waited for clients
  std::atomic<std::uint32_t> stopping;    // 1: the server stops [supervisor, too]
  std::atomic<std::uint32_t> guarded;     // 1: an orphan guards the segment until this is 0, see
                                          // child/segment_guard.hpp [orphans, supervisor,
                                          // front]
  std::array<Answer, kOrders> answers;    // by Order
};

}  // namespace kilofork
