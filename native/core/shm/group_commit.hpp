// Group commit: children that have appended to the log wait until it is on disk, and one syncer
// makes one fdatasync(2) for all of them. Lies in shared memory, without locks. futex(2).
//
// Syncs are numbered. A child appends its record and then reads the number of the sync that begins
// next, which therefore covers the record. Numbers wrap around; they are compared by difference.
//
// A sync that fails, or whose result is unknown, is not repeated: the kernel may have dropped the
// data, and the next sync would succeed without it. The log and all before it are dead from then
// on. Nothing in a dead log is acknowledged.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"

namespace kilofork {

class GroupCommit {
 public:
  // ---- child ----
  // After appending: returns the sync that covers the record.
  std::uint32_t join();
  // Until that sync has ended or failed.
  void wait(std::uint32_t sync);
  // Whether the log of that epoch is dead.
  [[nodiscard]] bool is_dead(std::uint32_t log) const {
    return dead_.load(std::memory_order_acquire) > log;
  }
  // The newest log that retractions can be written to.
  [[nodiscard]] const std::atomic<std::uint32_t>& offered() const { return offered_; }
  // Until another log than `last` is offered, or a signal comes, or a second has passed: a signal
  // may have come just before the wait.
  void wait_for_offer(std::uint32_t last) const;

  // ---- syncer ----
  // Until a child joins, or wake_syncer() is called.
  void wait_for_joiner();
  // In a signal handler of the syncer: ends wait_for_joiner().
  void wake_syncer();
  // How many requests have ever joined.
  [[nodiscard]] std::uint64_t joined() const { return joined_.load(std::memory_order_relaxed); }
  void begin_sync();
  void end_sync(Nanoseconds took);

  // ---- syncer, and the supervisor once the syncer is gone ----
  // Ends the present sync, if any, as failed. The log of that epoch and all before it are dead.
  // `error`: an errno value.
  void fail_sync(std::uint32_t log, std::uint32_t error);

  // ---- supervisor ----
  // Requests a sync with no waiter, so that the syncer drains its inbox. Returns its number.
  std::uint32_t request_sync();
  [[nodiscard]] bool is_syncing() const { return next_.load() != ended_.load(); }
  // Wakes those whose sync has ended, but whose syncer was killed before it woke them.
  void wake_missed();
  void offer(std::uint32_t log);

  // ---- readers ----
  [[nodiscard]] std::uint32_t error() const { return error_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_.load(std::memory_order_relaxed); }
  [[nodiscard]] Nanoseconds last_took() const { return took_.load(std::memory_order_relaxed); }

 private:
  void end(std::uint32_t sync);

  std::atomic<std::uint32_t> next_;           // number of the sync that begins next
  std::atomic<std::uint32_t> wanted_;         // children wait for all syncs before it; a futex
  std::atomic<std::uint32_t> syncer_parked_;  // 1: wake it; written by the syncer only
  std::atomic<std::uint32_t> ended_;          // all syncs before it have ended; a futex
  std::atomic<std::uint32_t> dead_;           // all logs before this epoch are dead
  std::atomic<std::uint32_t> error_;          // of the last failed sync
  std::atomic<std::uint32_t> offered_;        // epoch of a log; a futex
  std::atomic<std::uint64_t> joined_;
  std::atomic<std::uint64_t> syncs_;
  std::atomic<Nanoseconds> took_;  // of the last sync
};

}  // namespace kilofork
