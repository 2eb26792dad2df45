// Group commit: children that have appended to the log wait until it is on disk, and the syncer
// calls fdatasync(2) once for all of them. Lies in shared memory, without locks. futex(2).
//
// Syncs are numbered. A child appends its record and then reads the number of the sync that begins
// next: that sync covers the record. Numbers wrap around, so they are compared by difference.
//
// A sync that fails, or whose result is unknown, is not repeated: the kernel may have dropped the
// data, and the next sync would succeed without it. From then on that log and all before it are
// dead. Nothing in a dead log is acknowledged.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"

namespace kilofork {

class GroupCommit {
 public:
  // ---- child ----
  // Called after the record was appended. Returns the number of the sync that covers it.
  std::uint32_t join();
  // Waits until that sync has ended or failed.
  void wait(std::uint32_t sync);
  // Whether that sync, or one after it, has succeeded.
  [[nodiscard]] bool has_covered(std::uint32_t sync) const;
  // Whether the log of that epoch is dead.
  [[nodiscard]] bool is_dead(std::uint32_t log) const {
    return dead_.load(std::memory_order_acquire) > log;
  }
  // The newest log that retractions can be written to.
  [[nodiscard]] const std::atomic<std::uint32_t>& offered() const { return offered_; }
  // Waits until another log than `last` is offered, or a signal comes. Waits for a second at most,
  // because a signal may have come just before.
  void wait_for_offer(std::uint32_t last) const;

  // ---- syncer ----
  // Waits until a child joins, or wake_syncer() is called; `at_most` so long.
  void wait_for_joiner(Nanoseconds at_most = kNever);
  // Ends wait_for_joiner(). Safe in a signal handler.
  void wake_syncer();
  // How many requests have ever joined.
  [[nodiscard]] std::uint64_t joined() const { return joined_.load(std::memory_order_relaxed); }
  void begin_sync();
  void end_sync(Nanoseconds took);
  // Ends it as failed. The log lives, and later syncs cover what this one has not.
  void give_up_sync();

  // ---- syncer, and the supervisor once the syncer is gone ----
  // Ends the present sync, if any, as failed. The log of that epoch and all before it are dead.
  // `error`: an errno value.
  void fail_sync(std::uint32_t log, std::uint32_t error);

  // ---- front, too ----
  // The log of that epoch and all before it are dead.
  void declare_dead(std::uint32_t log);

  // ---- supervisor ----
  // Requests a sync with no waiter, so that the syncer drains its inbox. Returns its number.
  std::uint32_t request_sync();
  [[nodiscard]] bool is_syncing() const { return next_.load() != ended_.load(); }
  // Wakes children whose sync has ended, but whose syncer was killed before it woke them.
  void wake_missed();
  // Retractions can be written to this log from now on.
  void offer(std::uint32_t log);

  // ---- readers ----
  [[nodiscard]] std::uint32_t error() const { return error_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_.load(std::memory_order_relaxed); }
  [[nodiscard]] Nanoseconds last_took() const { return took_.load(std::memory_order_relaxed); }

 private:
  void end(std::uint32_t sync);

  // In brackets: who writes it. "both": the syncer, and the supervisor once the syncer is gone.
  std::atomic<std::uint32_t> next_;           // the sync that begins next [syncer]
  std::atomic<std::uint32_t> wanted_;         // all syncs before it are wanted; a futex [all]
  std::atomic<std::uint32_t> syncer_parked_;  // 1: wake it [syncer]
  std::atomic<std::uint32_t> ended_;          // all syncs before it have ended; a futex [both]
  std::atomic<std::uint32_t> covered_;        // all records of syncs before it are [syncer]
  std::atomic<std::uint32_t> dead_;           // all logs before this epoch are dead [both, front]
  std::atomic<std::uint32_t> error_;          // of the last failed sync [both]
  std::atomic<std::uint32_t> offered_;        // epoch of a log; a futex [supervisor]
  std::atomic<std::uint64_t> joined_;         // requests that have ever joined [children]
  std::atomic<std::uint64_t> syncs_;          // syncs that succeeded [syncer]
  std::atomic<Nanoseconds> took_;             // the time of the last of them [syncer]
};

}  // namespace kilofork
