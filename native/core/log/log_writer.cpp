#include "log/log_writer.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "log/spool.hpp"
#include "process/lockdown.hpp"
#include "process/signals.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

namespace {

// Shared by the signal handler and the loop.
struct {
  volatile sig_atomic_t leaving;
  GroupCommit* commit;
} g_writer;

void on_leave(int /*signal*/) {
  g_writer.leaving = 1;
  g_writer.commit->wake_syncer();
}

void set_up_signals() {
  handle_signal(SIGTERM, on_leave);
  for (const int ignored : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2})
    handle_signal(ignored, SIG_IGN);
  handle_signal(SIGCHLD, SIG_DFL);
}

class LogWriter {
 public:
  explicit LogWriter(const LogWriterContext& context)
      : context_(context),
        header_(context.scoreboard.header()),
        commit_(header_.commit),
        spool_(context.spool, context.reader, header_.spool) {}

  [[noreturn]] void run() {
    if (commit_.is_syncing()) sync();  // a writer that was killed has begun it
    while (g_writer.leaving == 0) {
      commit_.wait_for_joiner(kEvery);
      commit_.begin_sync();
      sync();
    }
    ::_exit(0);
  }

 private:
  // Records that nobody waits for are copied this often.
  static constexpr Nanoseconds kEvery = 100 * kMillisecond;

  // Copies what lies in the spool now, and ends the sync.
  void sync() {
    const Nanoseconds began = monotonic_now();
    const off_t end = spool_.end_of_records();
    while (header_.spool.copied < end) {
      const Spool::Took took = spool_.copy(end, kEvery);
      if (took == Spool::Took::failed) return fail(static_cast<std::uint32_t>(errno));
      if (took == Spool::Took::nothing && g_writer.leaving != 0) ::_exit(0);
      note(took == Spool::Took::some);
      if (stalls()) return fail(ETIMEDOUT);
    }
    note(true);
    commit_.end_sync(monotonic_now() - began);
    spool_.trim();
  }

  void note(bool progress) {
    if (progress)
      full_since_ = 0;
    else if (full_since_ == 0)
      full_since_ = monotonic_now() - kEvery;
    const Nanoseconds full = full_since_ == 0 ? 0 : monotonic_now() - full_since_;
    header_.spool.stalled_since =
        full == 0 ? 0 : std::max<std::int64_t>(context_.scoreboard.age() - full / kMillisecond, 1);
    header_.spool.waiting = spool_.waiting();
    if (!stalls()) refuse(header_.spool.waiting > context_.most_waiting ? ENOBUFS : 0);
  }

  [[nodiscard]] bool stalls() const {
    return full_since_ != 0 && monotonic_now() - full_since_ >= context_.patience;
  }

  void fail(std::uint32_t error) {
    refuse(error);
    commit_.give_up_sync();
  }

  // Children refuse requests with this error; 0: with none.
  void refuse(std::uint32_t error) {
    if (header_.log_refused.exchange(error) == error) return;
    header_.log_error = error;
    wake_up(context_.wakeup);
  }

  const LogWriterContext& context_;
  Header& header_;
  GroupCommit& commit_;
  Spool spool_;
  Nanoseconds full_since_ = 0;  // 0: the reader has room
};

}  // namespace

void run_log_writer(const LogWriterContext& context) {
  g_writer.commit = &context.scoreboard.header().commit;
  set_up_signals();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != context.supervisor) ::_exit(0);
  ::prctl(PR_SET_NAME, "kilofork-writer");
  LogWriter writer(context);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!lock_down_log_writer()) ::_exit(1);
  writer.run();
}

}  // namespace kilofork
