#include "supervisor/log_manager.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "log/log_writer.hpp"
#include "log/spool.hpp"
#include "log/syncer.hpp"
#include "process/descriptors.hpp"

namespace kilofork {

namespace {

// The others wait no longer than this for retractions: a child that is stopped may never write its.
constexpr Nanoseconds kRetractedWithin = kSecond;
// From the start of one syncer to the start of the next.
constexpr Nanoseconds kSyncersApart = 100 * kMillisecond;
constexpr Nanoseconds kReportedAgainAfter = 100 * kMillisecond;

}  // namespace

LogManager::LogManager(Parts parts, const std::optional<ExecState>& predecessor)
    : parts_(std::move(parts)),
      header_(parts_.scoreboard.header()),
      epoch_(predecessor ? header_.log_epoch.load() : parts_.epoch) {
  if (predecessor) {
    syncer_ = predecessor->syncer;
    inbox_.reset(predecessor->inbox);
    to_renew_ = syncer_ > 0;
    if (header_.log_settled != epoch_) reopened_ = monotonic_now();
    return;
  }
  // The last syncer may have been killed, together with its supervisor, in the middle of a sync.
  if (header_.commit.is_syncing() && !parts_.spooled)
    header_.commit.fail_sync(header_.log_epoch, ECANCELED);
  header_.log_epoch = epoch_;
  header_.log_settled = epoch_;
  header_.commit.offer(epoch_);
  header_.syncer = 0;
}

// ---- a reopened log -----------------------------------------------------------------------------

// The order matters: the syncer has the log before anybody can write to it; retractions come before
// all other records; then the children may take it.
void LogManager::reopen(Fd log, std::uint32_t epoch, const Roster& roster) {
  if (epoch == epoch_) return order_again(roster);
  if (told_to_leave_ && syncer_ends_within(kRetractedWithin)) on_exit(syncer_);
  if (parts_.synced && syncer_ == 0) start_syncer(monotonic_now());
  const bool was_dead = header_.commit.is_dead(epoch_);
  ::dup3(log.get(), parts_.log, O_CLOEXEC);
  epoch_ = epoch;
  // A syncer whose inbox is full is stuck.
  if (syncer_ > 0 && !send_log(inbox_.get(), parts_.log, epoch_)) ::kill(syncer_, SIGKILL);
  header_.commit.offer(epoch_);
  publish_log(parts_.broadcast, parts_.log, epoch_);
  if (was_dead) wait_for_retractions(roster);
  reported_dead_ = false;
  parts_.record.resume();
  header_.log_epoch.store(epoch_, std::memory_order_release);
  for (const Member& member : roster.members())
    if (member.pid != 0)
      ::kill(member.pid, SIGUSR1);  // so that idle children leave the old file, too
  reopened_ = monotonic_now();
  next_settling_ = 0;
}

// The front repeats an order while the log is not settled.
void LogManager::order_again(const Roster& roster) {
  publish_log(parts_.broadcast, parts_.log, epoch_);
  const auto slots = parts_.scoreboard.slots();
  const auto& members = roster.members();
  for (std::size_t i = 0; i < members.size(); i++)
    if (members[i].pid != 0 && slots[i].log_epoch != epoch_) ::kill(members[i].pid, SIGUSR1);
  next_settling_ = 0;
}

// A child enters State::syncing before it tests whether the log is dead, and leaves it when it has
// retracted. The supervisor does nothing else meanwhile.
void LogManager::wait_for_retractions(const Roster& roster) {
  constexpr useconds_t kPollEvery = 1000;
  const auto slots = parts_.scoreboard.slots();
  const auto is_syncing = [&](std::size_t i) {
    return roster.members()[i].pid != 0 && slots[i].occupancy().state == State::syncing;
  };
  const Nanoseconds deadline = monotonic_now() + kRetractedWithin;
  for (std::size_t i = 0; i < slots.size(); i++)
    while (is_syncing(i) && monotonic_now() < deadline) ::usleep(kPollEvery);
}

// The log is settled once every child has it: nobody writes to an older one any more.
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
  // The syncer syncs the old log once more, then closes it.
  if (syncer_ > 0) header_.commit.request_sync();
  parts_.control.send("log-settled " + std::to_string(took));
}

// ---- errors -------------------------------------------------------------------------------------

// What the control channel has no room for is reported again later.
void LogManager::report_errors() {
  const std::uint32_t error = header_.log_error.load(std::memory_order_relaxed);
  if (error != reported_error_ && parts_.control.send("log-error " + std::to_string(error)))
    reported_error_ = error;
  const bool is_dead = header_.commit.is_dead(epoch_);
  if (is_dead && !reported_dead_) {
    parts_.record.suspend();
    reported_dead_ = parts_.control.send("sync-failed " + std::to_string(header_.commit.error()));
  }
  report_again_ = error != reported_error_ || is_dead != reported_dead_;
}

// ---- the syncer ---------------------------------------------------------------------------------

void LogManager::start_syncer(Nanoseconds now) {
  may_start_syncer_at_ = now + kSyncersApart;
  if (parts_.spooled)
    start_log_writer();
  else
    start_disk_syncer();
}

// Its reader is the supervisor's standard output.
void LogManager::start_log_writer() {
  const pid_t supervisor = ::getpid();
  std::vector<int> kept = parts_.kept_by_syncer;
  kept.push_back(parts_.log);
  const pid_t pid = ::fork();
  if (pid == 0) {
    keep_only(std::move(kept));
    run_log_writer({.scoreboard = parts_.scoreboard,
                    .supervisor = supervisor,
                    .spool = parts_.log,
                    .reader = STDOUT_FILENO,
                    .wakeup = parts_.wakeup});
  }
  take_syncer(pid);
}

void LogManager::start_disk_syncer() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  inbox_.reset(ends[0]);
  const Fd theirs(ends[1]);
  // The new syncer gets the newest log only. What the last one has left unsynced in an older log
  // will never be synced.
  if (header_.oldest_unsynced < epoch_) header_.commit.fail_sync(epoch_ - 1, ECANCELED);
  header_.oldest_unsynced = epoch_;
  if (!header_.commit.is_dead(epoch_)) (void)send_log(inbox_.get(), parts_.log, epoch_);
  const pid_t supervisor = ::getpid();
  std::vector<int> kept = parts_.kept_by_syncer;
  kept.push_back(theirs.get());
  const pid_t pid = ::fork();
  if (pid == 0) {
    keep_only(std::move(kept));
    run_syncer({.scoreboard = parts_.scoreboard,
                .supervisor = supervisor,
                .inbox = theirs.get(),
                .wakeup = parts_.wakeup});
  }
  take_syncer(pid);
}

void LogManager::take_syncer(pid_t pid) {
  if (pid < 0) return;
  syncer_ = pid;
  to_renew_ = false;
  header_.syncer = pid;
}

// Called after SIGTERM, which ends the syncer, but not in the middle of a sync. False if it still
// runs.
bool LogManager::syncer_ends_within(Nanoseconds patience) const {
  constexpr useconds_t kPollEvery = 200;
  const Nanoseconds deadline = monotonic_now() + patience;
  while (::waitpid(syncer_, nullptr, WNOHANG) == 0) {
    if (monotonic_now() > deadline) return false;
    ::usleep(kPollEvery);
  }
  return true;
}

void LogManager::on_exit(pid_t pid) {
  if (pid != syncer_) return;
  syncer_ = 0;
  told_to_leave_ = false;
  header_.syncer = 0;
  inbox_.reset();
  // The result of a sync that was interrupted is unknown. The next log writer ends it.
  if (header_.commit.is_syncing() && !parts_.spooled) header_.commit.fail_sync(epoch_, ECANCELED);
  header_.commit.wake_missed();
}

void LogManager::maintain(const Roster& roster, Nanoseconds now) {
  report_errors();
  settle(roster, now);
  if (!parts_.synced) return;
  if (syncer_ == 0 && now >= may_start_syncer_at_) start_syncer(now);
  // Renew the syncer only when it has no older log, which its successor would not have.
  if (to_renew_ && syncer_ > 0 && reopened_ == 0 && header_.oldest_unsynced == epoch_) {
    ::kill(syncer_, SIGTERM);
    to_renew_ = false;
    told_to_leave_ = true;
  }
}

Nanoseconds LogManager::next_deadline() const {
  Nanoseconds next = kNever;
  if (reopened_ > 0) next = next_settling_;
  if (report_again_) next = std::min(next, monotonic_now() + kReportedAgainAfter);
  if (parts_.synced && syncer_ == 0) next = std::min(next, may_start_syncer_at_);
  return next;
}

void LogManager::end(Nanoseconds patience) {
  if (syncer_ == 0) return;
  ::kill(syncer_, SIGTERM);
  if (!syncer_ends_within(patience)) ::kill(syncer_, SIGKILL);
}

void LogManager::copy_rest() {
  constexpr Nanoseconds kPatience = kSecond;
  if (!parts_.spooled || header_.spool.stalled_since != 0) return;
  Spool(parts_.log, STDOUT_FILENO, header_.spool).copy_all(kPatience);
}

// ---- the next executable ------------------------------------------------------------------------

void LogManager::save_to(ExecState& state) const {
  state.syncer = syncer_;
  state.inbox = inbox_.get();
}

}  // namespace kilofork
