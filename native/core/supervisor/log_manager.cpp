#include "supervisor/log_manager.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "log/syncer.hpp"

namespace kilofork {

namespace {

// A child that is stopped may owe a record for ever: the others do not wait longer for it.
constexpr Nanoseconds kRetractedWithin = kSecond;
// After a syncer that did not live longer than this, before the next.
constexpr Nanoseconds kSyncersApart = 100 * kMillisecond;
constexpr Nanoseconds kToldAgainAfter = 100 * kMillisecond;

}  // namespace

LogManager::LogManager(Parts parts, const std::optional<ExecState>& predecessor)
    : parts_(std::move(parts)),
      header_(parts_.scoreboard.header()),
      broadcast_(predecessor ? LogBroadcast{.give = Fd(predecessor->publish_fd),
                                            .take = Fd(predecessor->receive_log)}
                             : make_log_broadcast()),
      epoch_(predecessor ? header_.log_epoch.load() : parts_.epoch) {
  if (predecessor) {
    syncer_ = predecessor->syncer;
    inbox_.reset(predecessor->inbox);
    to_renew_ = syncer_ > 0;
    if (header_.log_settled != epoch_) reopened_ = monotonic_now();
    return;
  }
  // A syncer that was killed together with its supervisor.
  if (header_.commit.is_syncing()) header_.commit.fail_sync(header_.log_epoch, ECANCELED);
  header_.log_epoch = epoch_;
  header_.log_settled = epoch_;
  header_.commit.offer(epoch_);
  header_.syncer = 0;
}

// ---- a reopened log -----------------------------------------------------------------------------

void LogManager::reopen(Fd log, std::uint32_t epoch, const Roster& roster) {
  // What is in the old log by now is a syncer's that has it.
  if (leaves_ && has_left_within(kRetractedWithin)) on_exit(syncer_);
  if (parts_.synced && syncer_ == 0) start_syncer(monotonic_now());
  const bool was_dead = header_.commit.is_dead(epoch_);
  ::dup3(log.get(), parts_.log, O_CLOEXEC);
  epoch_ = epoch;
  // First the syncer, then anyone who may write. One that takes nothing any more is of no use.
  if (syncer_ > 0 && !send_log(inbox_.get(), parts_.log, epoch_)) ::kill(syncer_, SIGKILL);
  header_.commit.offer(epoch_);
  publish_log(broadcast_, parts_.log, epoch_);
  if (was_dead) wait_for_retractions(roster);
  told_dead_ = false;
  parts_.record.resume();
  header_.log_epoch.store(epoch_, std::memory_order_release);
  for (const Member& member : roster.members())
    if (member.pid != 0) ::kill(member.pid, SIGUSR1);  // the idle ones let go of the old file, too
  reopened_ = monotonic_now();
  next_settling_ = 0;
}

// The supervisor itself waits, so that nothing else is done meanwhile. A child is in that state
// from before it looks whether the log is good until its record is taken back.
void LogManager::wait_for_retractions(const Roster& roster) {
  constexpr useconds_t kBetweenLooks = 1000;
  const auto slots = parts_.scoreboard.slots();
  const auto has_pending = [&](std::size_t i) {
    return roster.members()[i].pid != 0 && slots[i].occupancy().state == State::syncing;
  };
  const Nanoseconds deadline = monotonic_now() + kRetractedWithin;
  for (std::size_t i = 0; i < slots.size(); i++)
    while (has_pending(i) && monotonic_now() < deadline) ::usleep(kBetweenLooks);
}

// A barrier: from here on, nobody writes to the old file any more.
void LogManager::settle(const Roster& roster, Nanoseconds now) {
  if (reopened_ == 0 || now < next_settling_) return;
  const auto& members = roster.members();
  for (std::size_t i = 0; i < members.size(); i++) {
    if (members[i].pid == 0 || parts_.scoreboard.slots()[i].log_epoch.load() == epoch_) continue;
    next_settling_ = now + std::clamp((now - reopened_) / 4, kMillisecond, kSecond);
    return;
  }
  const Nanoseconds took = now - reopened_;
  reopened_ = 0;
  parts_.record.write("pool: the last child has left the old log, " +
                      std::to_string(took / kMicrosecond) + " us after it was told");
  header_.log_settled.store(epoch_, std::memory_order_release);
  if (syncer_ > 0) header_.commit.request_sync();  // the last one of the old log: it lets go of it
  parts_.control.send("log-settled " + std::to_string(took));
}

// ---- errors -------------------------------------------------------------------------------------

// What the front has no room for is told again.
void LogManager::tell_errors() {
  const std::uint32_t error = header_.log_error.load(std::memory_order_relaxed);
  if (error != told_error_ && parts_.control.send("log-error " + std::to_string(error)))
    told_error_ = error;
  const bool is_dead = header_.commit.is_dead(epoch_);
  if (is_dead && !told_dead_) {
    parts_.record.suspend();
    told_dead_ = parts_.control.send("sync-failed " + std::to_string(header_.commit.error()));
  }
  tells_again_ = error != told_error_ || is_dead != told_dead_;
}

// ---- the syncer ---------------------------------------------------------------------------------

void LogManager::start_syncer(Nanoseconds now) {
  std::array<int, 2> ends{};
  may_start_syncer_at_ = now + kSyncersApart;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  inbox_.reset(ends[0]);
  const Fd theirs(ends[1]);
  // It gets the newest log, before it can be asked for a sync. What an older one holds that the
  // last syncer has not seen to, in whatever way that one ended, nobody will sync.
  if (header_.oldest_unsynced < epoch_) header_.commit.fail_sync(epoch_ - 1, ECANCELED);
  header_.oldest_unsynced = epoch_;
  if (!header_.commit.is_dead(epoch_)) (void)send_log(inbox_.get(), parts_.log, epoch_);
  const pid_t supervisor = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    inbox_.reset();
    parts_.prepare_syncer();
    for (const int fd : {parts_.log, give(), take()}) ::close(fd);
    run_syncer({.scoreboard = parts_.scoreboard,
                .supervisor = supervisor,
                .inbox = theirs.get(),
                .wakeup = parts_.wakeup});
  }
  if (pid < 0) return;
  syncer_ = pid;
  to_renew_ = false;
  header_.syncer = pid;
}

// It leaves in order, and not in the middle of a sync: it takes no longer than one.
bool LogManager::has_left_within(Nanoseconds patience) const {
  constexpr useconds_t kBetweenLooks = 200;
  const Nanoseconds deadline = monotonic_now() + patience;
  while (::waitpid(syncer_, nullptr, WNOHANG) == 0) {
    if (monotonic_now() > deadline) return false;
    ::usleep(kBetweenLooks);
  }
  return true;
}

// What it has synced last is unknown when it died in the middle.
void LogManager::on_exit(pid_t pid) {
  if (pid != syncer_) return;
  syncer_ = 0;
  leaves_ = false;
  header_.syncer = 0;
  inbox_.reset();
  if (header_.commit.is_syncing()) header_.commit.fail_sync(epoch_, ECANCELED);
  header_.commit.wake_missed();
}

void LogManager::maintain(const Roster& roster, Nanoseconds now) {
  tell_errors();
  settle(roster, now);
  if (!parts_.synced) return;
  if (syncer_ == 0 && now >= may_start_syncer_at_) start_syncer(now);
  // Not while it knows of an older log, which its successor would not.
  if (to_renew_ && syncer_ > 0 && reopened_ == 0 && header_.oldest_unsynced == epoch_) {
    ::kill(syncer_, SIGTERM);
    to_renew_ = false;
    leaves_ = true;
  }
}

Nanoseconds LogManager::next_deadline() const {
  Nanoseconds next = kNever;
  if (reopened_ > 0) next = next_settling_;
  if (tells_again_) next = std::min(next, monotonic_now() + kToldAgainAfter);
  if (parts_.synced && syncer_ == 0) next = std::min(next, may_start_syncer_at_);
  return next;
}

void LogManager::end(Nanoseconds patience) {
  if (syncer_ == 0) return;
  ::kill(syncer_, SIGTERM);
  if (!has_left_within(patience)) ::kill(syncer_, SIGKILL);
}

// ---- the next executable ------------------------------------------------------------------------

void LogManager::save_to(ExecState& state) const {
  state.publish_fd = give();
  state.receive_log = take();
  state.syncer = syncer_;
  state.inbox = inbox_.get();
}

std::vector<int> LogManager::descriptors() const {
  std::vector<int> kept{give(), take()};
  if (inbox_) kept.push_back(inbox_.get());
  return kept;
}

}  // namespace kilofork
