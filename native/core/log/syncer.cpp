#include "log/syncer.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/clock.hpp"
#include "process/fd_passing.hpp"
#include "process/lockdown.hpp"
#include "process/signals.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

namespace {

// Shared by the signal handler and the loop.
struct {
  volatile sig_atomic_t leaving;
  GroupCommit* commit;
  pid_t supervisor;
} g_syncer;

void on_leave(int /*signal*/) {
  g_syncer.leaving = 1;
  g_syncer.commit->wake_syncer();
}

void on_continue(int signal) {
  if (::getppid() != g_syncer.supervisor) on_leave(signal);
}

void set_up_signals() {
  handle_signal(SIGTERM, on_leave);
  handle_signal(SIGCONT, on_continue);
  for (const int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2})
    handle_signal(ignored, SIG_IGN);
  handle_signal(SIGCHLD, SIG_DFL);
}

class Syncer {
 public:
  explicit Syncer(const SyncerContext& context)
      : context_(context),
        header_(context.scoreboard.header()),
        commit_(header_.commit),
        covered_(commit_.joined()) {
    logs_.reserve(kMostLogs);  // the filter allows no allocation later
  }

  [[noreturn]] void run() {
    while (g_syncer.leaving == 0) {
      commit_.wait_for_joiner();
      if (g_syncer.leaving == 0) gather();
      covered_ = commit_.joined();
      sync();
    }
    ::_exit(0);
  }

 private:
  struct Log {
    Fd fd;
    std::uint32_t epoch;
  };
  // Of logs that children may still write to. It holds more than one only while a log is reopened.
  static constexpr std::size_t kMostLogs = 256;

  // A sync costs the same for one child and for many. So wait while more children join, for 1.2 ms
  // at most; but do not wait if this sync and the last one are for one child.
  void gather() {
    constexpr Nanoseconds kNap = 100 * kMicrosecond;
    constexpr int kMostNaps = 12;
    const bool was_alone = alone_;
    std::uint64_t joined = commit_.joined();
    alone_ = joined - covered_ <= 1;
    if (alone_ && was_alone) return;
    for (int naps = 0; naps < kMostNaps; naps++) {
      const timespec nap = to_timespec(kNap);
      ::clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, nullptr);
      if (commit_.joined() == joined) break;
      joined = commit_.joined();
    }
    alone_ = joined - covered_ <= 1;
  }

  void sync() {
    commit_.begin_sync();
    if (!receive_logs()) return fail(EMFILE);
    if (logs_.empty() && !commit_.is_dead(commit_.offered())) return fail(EBADF);
    // Read before the sync: all writes to older logs came before this value.
    const std::uint32_t settled = header_.log_settled.load(std::memory_order_acquire);
    const Nanoseconds began = monotonic_now();
    for (const Log& log : logs_)
      if (::fdatasync(log.fd.get()) != 0) return fail(static_cast<std::uint32_t>(errno));
    std::erase_if(logs_, [&](const Log& log) { return log.epoch < settled; });
    header_.oldest_unsynced.store(logs_.empty() ? settled : logs_.front().epoch);
    commit_.end_sync(monotonic_now() - began);
  }

  // All logs up to the newest are dead, also one that is still on its way here.
  void fail(std::uint32_t error) {
    commit_.fail_sync(std::max(newest_sent_, commit_.offered().load()), error);
    logs_.clear();
    wake_up(context_.wakeup);
  }

  // Receives all logs that children may have written to: each is sent before children can have it.
  // False if there are more than can be held, or a descriptor was lost.
  bool receive_logs() {
    while (logs_.size() < kMostLogs) {
      std::uint32_t epoch = 0;
      std::array<char, sizeof epoch> bytes{};
      Fd log;
      const ssize_t got = receive_with_fd(context_.inbox, bytes, log, MSG_DONTWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got != static_cast<ssize_t>(bytes.size())) return true;
      std::memcpy(&epoch, bytes.data(), sizeof epoch);
      newest_sent_ = epoch;
      if (!log) return false;  // no descriptor was free
      logs_.push_back({.fd = std::move(log), .epoch = epoch});
    }
    return false;
  }

  const SyncerContext& context_;
  Header& header_;
  GroupCommit& commit_;
  std::vector<Log> logs_;  // the oldest first
  std::uint32_t newest_sent_ = 0;
  std::uint64_t covered_;  // how many had joined before the last sync
  bool alone_ = true;      // the last sync was for one child
};

}  // namespace

bool send_log(int inbox, int log, std::uint32_t epoch) {
  std::array<char, sizeof epoch> bytes{};
  std::memcpy(bytes.data(), &epoch, sizeof epoch);
  return send_with_fd(inbox, {bytes.data(), bytes.size()}, log, MSG_DONTWAIT) >= 0;
}

void run_syncer(const SyncerContext& context) {
  g_syncer.commit = &context.scoreboard.header().commit;
  g_syncer.supervisor = context.supervisor;
  set_up_signals();
  continue_when_parent_dies();
  if (::getppid() != context.supervisor) ::_exit(0);
  ::prctl(PR_SET_NAME, "kilofork-syncer");
  ::prctl(PR_SET_TIMERSLACK, 1);
  Syncer syncer(context);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!lock_down_syncer()) ::_exit(1);
  syncer.run();
}

}  // namespace kilofork
