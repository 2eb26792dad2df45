#include "supervisor/growth.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "net/listener.hpp"
#include "process/cgroup.hpp"
#include "process/memory.hpp"

namespace kilofork {

namespace {

// Between samples of a pool that cannot grow now, which only tell how long it has been full.
constexpr Nanoseconds kSampleRarely = 100 * kMillisecond;
// The time between two samples is at least so many times the time that one takes.
constexpr Nanoseconds kTimesItsCost = 50;
constexpr int kUnchangedSamplesBeforePark = 20;

// Tasks of the cgroup that growth leaves free, so that supervisor, forker, syncer and log writer
// can be started again, and a command of Node.js beside them.
constexpr std::size_t kTaskReserve = 16;

// Of the coarse clock that Scoreboard::age() reads.
constexpr Nanoseconds kLongestTick = 10 * kMillisecond;

}  // namespace

// ---- sampling -----------------------------------------------------------------------------------

Census Growth::take_census() const {
  return parts_.roster.census(count_waiting(listener_) + parts_.keeper.ready());
}

void Growth::sample() {
  const Nanoseconds now = monotonic_now();
  if (now < next_sample_) return;
  const Census census = take_census();
  if (std::exchange(parked_, false)) {
    parts_.scoreboard.header().supervisor_parked.store(0);
    sizing_.begin(census, now);
  } else {
    need_ = sizing_.sample(census, now);
  }
  const std::size_t surplus = sizing_.surplus(census.idle - parts_.roster.pending(), now);
  for (const std::size_t index : parts_.roster.find_idle(surplus))
    parts_.retire(index, Cause::idle);
  note_fullness(census);

  const bool unmet = need_.queue + need_.spare > 0;
  unchanged_samples_ = census == parts_.census && !unmet ? unchanged_samples_ + 1 : 0;
  parts_.census = census;
  if (unchanged_samples_ >= kUnchangedSamplesBeforePark) {
    park(now);
    return;
  }
  const auto limit = static_cast<GrowthLimit>(parts_.scoreboard.header().growth_limit.load());
  const bool may_grow = limit == GrowthLimit::none || limit == GrowthLimit::maximum;
  const Nanoseconds interval =
      parts_.settings.bounds.is_dynamic() && may_grow ? Sizing::kSampleEvery : kSampleRarely;
  next_sample_ = now + std::max(interval, (monotonic_now() - now) * kTimesItsCost);
}

// Announces that it parks, and then takes a last census. A child writes its state, and then reads
// the announcement (Child::wake_supervisor_if_parked()). With a full fence on both sides, at least
// one sees the other.
void Growth::park(Nanoseconds now) {
  auto& announced = parts_.scoreboard.header().supervisor_parked;
  announced.store(1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  parked_ = take_census() == parts_.census;
  if (parked_) {
    const Nanoseconds surplus_at =
        sizing_.next_surplus(parts_.census.idle - parts_.roster.pending());
    next_sample_ = surplus_at > 0 ? surplus_at : kNever;
  } else {
    announced.store(0);
    next_sample_ = now + Sizing::kSampleEvery;
  }
}

void Growth::unpark() {
  if (parked_) next_sample_ = 0;
}

bool Growth::awaits_client() const {
  return parked_ && parts_.census.idle == 0 && parts_.census.waiting == 0;
}

Nanoseconds Growth::next_deadline() const {
  return parts_.roster.pending() > 0 ? std::min(next_sample_, may_fork_at_) : next_sample_;
}

// Full: the pool has its maximum of children, and each has a client.
void Growth::note_fullness(const Census& census) {
  Header& header = parts_.scoreboard.header();
  const bool full = census.idle == 0 && census.alive >= parts_.settings.bounds.max;
  const std::int64_t since = header.full_since.load(std::memory_order_relaxed);
  const std::int64_t age = parts_.scoreboard.age();
  if (full && since == 0) {
    header.full_since.store(std::max<std::int64_t>(age, 1), std::memory_order_relaxed);
    header.full_times.fetch_add(1, std::memory_order_relaxed);
  } else if (!full && since != 0) {
    header.full_before.fetch_add(age - since, std::memory_order_relaxed);
    header.full_since.store(0, std::memory_order_relaxed);
  }
  if (need_.queue + need_.spare > 0 || parts_.roster.pending() > 0) return;
  // In two samples, so that a client that is about to be accepted does not count.
  const bool clients_wait = census.waiting > 0 && parts_.census.waiting > 0;
  set_limit(full && clients_wait ? GrowthLimit::maximum : GrowthLimit::none);
}

// The limit stays until a sample finds that the pool has what it needs.
bool Growth::set_limit(GrowthLimit limit) {
  auto& current = parts_.scoreboard.header().growth_limit;
  const auto value = static_cast<std::uint32_t>(limit);
  if (current.load(std::memory_order_relaxed) == value) return false;
  current.store(value, std::memory_order_relaxed);
  parts_.control.send("growth-limit " + std::string(kGrowthLimitNames.at(value)));
  return true;
}

// ---- forking ------------------------------------------------------------------------------------

void Growth::top_up(std::uint32_t log_epoch) {
  const Need need = std::exchange(need_, {});
  Roster& roster = parts_.roster;
  if (monotonic_now() < may_fork_at_ || roster.pending() + need.queue + need.spare == 0) return;
  std::vector<std::size_t> slots;
  const auto members = roster.members();
  for (std::size_t i = 0; i < members.size() && slots.size() < roster.pending(); i++)
    if (members[i].pending) slots.push_back(i);
  fork_children(
      slots, [&](std::size_t slot) { return members[slot].cause; }, log_epoch);
  fork_needed(Cause::queue, need.queue, log_epoch);
  fork_needed(Cause::spare_low, need.spare, log_epoch);
}

// Forks as many as there is room for. One that would take from the reserve of tasks counts as
// failed.
void Growth::fork_needed(Cause cause, std::size_t count, std::uint32_t log_epoch) {
  if (count == 0 || monotonic_now() < may_fork_at_) return;
  const auto beyond = [](std::size_t left, std::size_t reserve) {
    return left - std::min(left, reserve);
  };
  const CgroupLimits cgroup = cgroup_limits();
  const std::size_t bytes =
      beyond(std::min(available_memory(), cgroup.memory.left()), parts_.settings.memory_reserve);
  const std::size_t by_memory = bytes / parts_.settings.bytes_per_child;
  const std::size_t by_tasks = beyond(cgroup.tasks.left(), kTaskReserve);
  const std::size_t room = std::min(by_memory, by_tasks);
  if (by_memory < count) set_limit(GrowthLimit::memory);
  if (by_tasks < count && by_memory >= count && set_limit(GrowthLimit::processes))
    report_failed_fork(EAGAIN);
  std::vector<std::size_t> slots;
  for (std::size_t from = 0; slots.size() < std::min(count, room); from = slots.back() + 1) {
    const auto vacant = parts_.roster.find_vacant(from);
    if (!vacant) break;
    slots.push_back(*vacant);
  }
  fork_children(
      slots, [cause](std::size_t /*slot*/) { return cause; }, log_epoch);
}

void Growth::fork_children(std::span<const std::size_t> slots,
                           const std::function<Cause(std::size_t)>& cause_of,
                           std::uint32_t log_epoch) {
  if (slots.empty()) return;
  Roster& roster = parts_.roster;
  for (const std::size_t slot : slots) roster.reserve(slot, cause_of(slot), log_epoch);
  std::vector<pid_t> pids(slots.size());
  forker_.fork_children(slots, pids);
  const int error = errno;
  for (std::size_t i = 0; i < slots.size(); i++) {
    const Cause cause = cause_of(slots[i]);
    if (pids[i] == 0) {
      roster.cancel(slots[i], cause);
      continue;
    }
    roster.confirm(slots[i], pids[i], cause);
    parts_.record.forked({.pid = pids[i], .slot = slots[i], .cause = cause}, roster.alive(),
                         parts_.census);
  }
  if (std::find(pids.begin(), pids.end(), 0) == pids.end())
    forker_lost_ = false;
  else
    handle_failed_fork(error);
}

// A forker that was lost once says nothing about the machine: the next try starts another one. That
// try must come after a tick of the clock, so that a slot which is reserved again has another word.
void Growth::handle_failed_fork(int error) {
  const bool lost = !forker_.is_running();
  if (!std::exchange(forker_lost_, lost) && lost) {
    may_fork_at_ = std::max(may_fork_at_, monotonic_now() + 2 * kLongestTick);
    return;
  }
  back_off(GrowthLimit::processes);
  report_failed_fork(error);
}

void Growth::report_failed_fork(int error) {
  parts_.control.send("fork-failed " + std::to_string(error) + " " +
                      std::to_string(parts_.roster.alive()));
}

// The wait is doubled with each try and not with each death: many children may die of one cause.
void Growth::back_off(GrowthLimit limit) {
  const PoolSettings& settings = parts_.settings;
  const Nanoseconds now = monotonic_now();
  set_limit(limit);
  if (now < may_fork_at_) return;
  const bool anew = now > may_fork_at_ + settings.longest_back_off;
  back_off_ =
      std::clamp(anew ? 0 : back_off_ * 2, settings.first_back_off, settings.longest_back_off);
  may_fork_at_ = now + back_off_;
  if (limit == GrowthLimit::births)
    parts_.control.send("back-off " + std::to_string(back_off_ / kMillisecond));
}

}  // namespace kilofork
