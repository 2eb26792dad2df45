#include "shm/group_commit.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <limits>

namespace kilofork {

namespace {

using Futex = std::atomic<std::uint32_t>;
static_assert(sizeof(Futex) == sizeof(std::uint32_t) && Futex::is_always_lock_free);

// Not FUTEX_PRIVATE_FLAG: processes share the word.
void futex_wait(const Futex& word, std::uint32_t value, std::uint32_t bits,
                const timespec* until = nullptr) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, value, until, nullptr, bits);
}
void futex_wake(const Futex& word, std::uint32_t bits) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, std::numeric_limits<int>::max(), nullptr, nullptr,
            bits);
}

// A futex bit for each sync, so that the end of one does not wake those that wait for the next.
std::uint32_t bit_of(std::uint32_t sync) {
  return std::uint32_t{1} << sync % 32;
}

bool is_before(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) < 0;
}

}  // namespace

std::uint32_t GroupCommit::join() {
  joined_.fetch_add(1, std::memory_order_relaxed);
  return request_sync();
}

std::uint32_t GroupCommit::request_sync() {
  const std::uint32_t sync = next_.load();
  std::uint32_t wanted = wanted_.load();
  while (is_before(wanted, sync + 1) && !wanted_.compare_exchange_weak(wanted, sync + 1)) {
  }
  // The syncer announces that it parks and then reads `wanted_` again, so one of the two sees the
  // other. Only the syncer withdraws the announcement: if a child is killed before it wakes the
  // syncer, the next child wakes it.
  if (syncer_parked_.load() != 0) futex_wake(wanted_, FUTEX_BITSET_MATCH_ANY);
  return sync;
}

void GroupCommit::wait(std::uint32_t sync) {
  for (;;) {
    const std::uint32_t ended = ended_.load(std::memory_order_acquire);
    if (is_before(sync, ended)) return;
    futex_wait(ended_, ended, bit_of(sync));
  }
}

bool GroupCommit::has_covered(std::uint32_t sync) const {
  return is_before(sync, covered_.load(std::memory_order_acquire));
}

void GroupCommit::wait_for_offer(std::uint32_t last) const {
  const timespec at_most = to_timespec(kSecond);
  ::syscall(SYS_futex, &offered_, FUTEX_WAIT, last, &at_most);
}

void GroupCommit::wait_for_joiner(Nanoseconds at_most) {
  const Nanoseconds end = at_most == kNever ? kNever : monotonic_now() + at_most;
  const timespec until = to_timespec(end);
  while (end == kNever || monotonic_now() < end) {
    syncer_parked_.store(1);
    const std::uint32_t wanted = wanted_.load();
    if (is_before(next_.load(), wanted)) break;
    futex_wait(wanted_, wanted, FUTEX_BITSET_MATCH_ANY, end == kNever ? nullptr : &until);
  }
  syncer_parked_.store(0);
}

// Changes the word as request_sync() does, so that a futex wait that is about to begin returns at
// once.
void GroupCommit::wake_syncer() {
  wanted_.fetch_add(1);
}

void GroupCommit::begin_sync() {
  next_.fetch_add(1);
}

void GroupCommit::end_sync(Nanoseconds took) {
  syncs_.fetch_add(1, std::memory_order_relaxed);
  took_.store(took, std::memory_order_relaxed);
  covered_.store(next_.load(), std::memory_order_release);
  end(next_.load() - 1);
}

void GroupCommit::give_up_sync() {
  end(next_.load() - 1);
}

void GroupCommit::fail_sync(std::uint32_t log, std::uint32_t error) {
  error_.store(error, std::memory_order_relaxed);
  declare_dead(log);
  end(next_.load() - 1);
}

void GroupCommit::declare_dead(std::uint32_t log) {
  std::uint32_t dead = dead_.load();
  while (dead < log + 1 && !dead_.compare_exchange_weak(dead, log + 1)) {
  }
}

void GroupCommit::end(std::uint32_t sync) {
  ended_.store(sync + 1, std::memory_order_release);
  futex_wake(ended_, bit_of(sync));
}

void GroupCommit::wake_missed() {
  futex_wake(ended_, FUTEX_BITSET_MATCH_ANY);
}

void GroupCommit::offer(std::uint32_t log) {
  offered_.store(log, std::memory_order_release);
  futex_wake(offered_, FUTEX_BITSET_MATCH_ANY);
}

}  // namespace kilofork
