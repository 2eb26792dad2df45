// Group commit: children that have appended to the log wait until it is on disk, and one syncer
// makes one fdatasync(2) for all that wait. Lies in shared memory; nobody holds a lock. futex(2).
//
// Syncs are numbered. A child appends its record and then reads the number of the sync that begins
// next: that one begins after the append, so it covers it. Numbers wrap around, and are compared by
// their difference.
//
// A sync that fails, or whose result nobody knows, is never tried again: the kernel may have
// dropped what it could not write, and call the next sync a success. The log and all before it are
// dead from then on; whoever waits finds that out, and is acknowledged nothing.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.hpp"

namespace kilofork {

class GroupCommit {
 public:
  // ---- child ----
  // After its append: the sync that will cover it.
  std::uint32_t join();
  // Until that one has ended, however it went.
  void wait(std::uint32_t sync);
  // Whether no record in the log of that epoch will be acknowledged any more.
  [[nodiscard]] bool is_dead(std::uint32_t log) const {
    return dead_.load(std::memory_order_acquire) > log;
  }
  // The newest log that a record can be taken back in.
  [[nodiscard]] const std::atomic<std::uint32_t>& offered() const { return offered_; }
  // Until another one than that is offered, or a signal has come, but not for long: a signal may
  // have come just before.
  void wait_for_offer(std::uint32_t last) const;

  // ---- syncer ----
  // Until somebody waits for a sync, or wake_syncer() was called.
  void wait_for_joiner();
  // A signal handler of the syncer: no wait_for_joiner() lasts longer than this.
  void wake_syncer();
  // How many children have ever joined.
  [[nodiscard]] std::uint64_t joined() const { return joined_.load(std::memory_order_relaxed); }
  void begin_sync();
  void end_sync(Nanoseconds took);

  // ---- syncer, and the supervisor when that is gone ----
  // The sync that has begun fails, if one has: kills the log of that epoch and all before it.
  // `error`: an errno value.
  void fail_sync(std::uint32_t log, std::uint32_t error);

  // ---- supervisor ----
  // For nobody: so that the syncer looks at what it was sent. The sync that is to come.
  std::uint32_t request_sync();
  [[nodiscard]] bool is_syncing() const { return next_.load() != ended_.load(); }
  // Those that a syncer which was killed has not woken, though its sync had ended.
  void wake_missed();
  void offer(std::uint32_t log);

  // ---- whoever looks ----
  [[nodiscard]] std::uint32_t error() const { return error_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t syncs() const { return syncs_.load(std::memory_order_relaxed); }
  [[nodiscard]] Nanoseconds last_took() const { return took_.load(std::memory_order_relaxed); }

 private:
  void end(std::uint32_t sync);

  std::atomic<std::uint32_t> next_;           // the sync that begins next
  std::atomic<std::uint32_t> wanted_;         // somebody waits for all before it; a futex
  std::atomic<std::uint32_t> syncer_parked_;  // 1: it is to be woken; its own
  std::atomic<std::uint32_t> ended_;          // all before it have ended; a futex
  std::atomic<std::uint32_t> dead_;           // all logs before this epoch are
  std::atomic<std::uint32_t> error_;          // of the last sync that failed
  std::atomic<std::uint32_t> offered_;        // a futex
  std::atomic<std::uint64_t> joined_;
  std::atomic<std::uint64_t> syncs_;
  std::atomic<Nanoseconds> took_;  // the last one
};

}  // namespace kilofork
