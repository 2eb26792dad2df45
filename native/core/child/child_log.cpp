#include "child/child_log.hpp"

#include <unistd.h>

#include <cerrno>

#include "log/log_broadcast.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

ChildLog::ChildLog(const ChildContext& context, Slot& slot, pid_t pid, std::span<char> buffer)
    : context_(context),
      header_(context.scoreboard.header()),
      slot_(slot),
      pid_(pid),
      log_(context.log, buffer, header_.utc_offset),
      epoch_(context.log_epoch) {
  slot_.log_epoch.store(epoch_, std::memory_order_relaxed);
}

void ChildLog::adopt_newest() {
  adopt(header_.log_epoch);
}

// SIGUSR1 is blocked meanwhile: its handler does the same, and in between the older of two logs
// might replace the newer one.
void ChildLog::adopt(const std::atomic<std::uint32_t>& newest) {
  if (newest.load(std::memory_order_acquire) == epoch_) return;
  sigset_t new_log;
  sigset_t before;
  sigemptyset(&new_log);
  sigaddset(&new_log, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &new_log, &before);
  if (newest.load(std::memory_order_acquire) != epoch_ &&
      receive_log(context_.log_broadcast, context_.log, epoch_))
    slot_.log_epoch.store(epoch_, std::memory_order_release);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

// True if records in the newest log may be acknowledged.
bool ChildLog::adopt_live_log() {
  adopt_newest();
  return !header_.commit.is_dead(epoch_) &&
         header_.log_refused.load(std::memory_order_relaxed) == 0;
}

bool ChildLog::record_received(const Request& request) {
  if (!adopt_live_log()) return false;
  received_in_ = epoch_;
  log_.record().text("server ").number(pid_).text(" recvd message ").quoted(request.message);
  return report(log_.text(" from user ").text(request.user).commit());
}

bool ChildLog::record_completed(const Request& request, std::uint64_t count) {
  adopt_newest();
  if (header_.commit.is_dead(received_in_)) return false;
  log_.record().text("completed req ").quoted(request.message).text(" on ").number(pid_);
  return report(log_.text(" total reqs ").number(static_cast<std::int64_t>(count)).commit());
}

bool ChildLog::sync() {
  const std::uint32_t sync = header_.commit.join();
  header_.commit.wait(sync);
  if (header_.commit.has_covered(sync) && !header_.commit.is_dead(received_in_)) return true;
  slot_.retracted.fetch_add(1, std::memory_order_relaxed);
  return false;
}

// Where the log lives, it has a spool: the retraction follows the completed record. Otherwise the
// retraction is the first record of this child in the new log. It comes before those of other
// children, too: LogManager waits for children in State::syncing before it lets them take that log.
bool ChildLog::retract(const Request& request, std::uint64_t count,
                       const volatile sig_atomic_t& stopping) {
  constexpr useconds_t kBetweenTries = 100'000;
  const GroupCommit& commit = header_.commit;
  for (;;) {
    const std::uint32_t offered = commit.offered();
    adopt(commit.offered());
    if (!commit.is_dead(epoch_)) {
      log_.record().text("not acknowledged: req ").quoted(request.message);
      log_.text(" on ").number(pid_).text(" total reqs ").number(static_cast<std::int64_t>(count));
      if (report(log_.commit())) return true;
    }
    if (stopping != 0) return false;
    if (commit.is_dead(offered))
      commit.wait_for_offer(offered);
    else
      ::usleep(kBetweenTries);
  }
}

void ChildLog::record_unknown_user(std::string_view user) {
  if (!adopt_live_log()) return;
  log_.record().text("authorization error: user ").quoted(user).text(" on ").number(pid_);
  report(log_.commit());
}

void ChildLog::record_refusal(Refusal refusal) {
  if (!adopt_live_log()) return;
  log_.record().text("protocol error: ").text(name_of(refusal)).text(" on ").number(pid_);
  report(log_.commit());
}

void ChildLog::record_work_timeout(std::string_view message, Nanoseconds took) {
  if (!adopt_live_log()) return;
  log_.record().text("work timeout: req ").quoted(message).text(" on ").number(pid_);
  log_.text(" after ").number(took / kMillisecond).text(" ms").commit();
}

void ChildLog::close_torn_head() {
  if (!log_.close_torn_head()) header_.pending.torn_heads.fetch_add(1);
}

// Given the result of commit(), which it returns. Tells the supervisor about the first write that
// fails, and the first that succeeds again. While records are refused, the log writer does that.
bool ChildLog::report(bool written) {
  auto& error = header_.log_error;
  if (header_.log_refused.load(std::memory_order_relaxed) != 0) return written;
  if (written != (error.load(std::memory_order_relaxed) == 0)) {
    error.store(written ? 0 : static_cast<std::uint32_t>(errno), std::memory_order_relaxed);
    wake_up(context_.wakeup);
  }
  return written;
}

}  // namespace kilofork
