#include "supervisor/shutdown.hpp"

#include <signal.h>

namespace kilofork {

Shutdown::Shutdown(PoolParts& parts, int listener)
    : parts_(parts),
      backlog_drain_(
          listener,
          parts.settings.service.refusals.at(static_cast<std::size_t>(Refusal::shutting_down)),
          parts.settings.service.linger_timeout) {}

void Shutdown::advance(Phase phase) {
  constexpr Nanoseconds kForSignalHandlers = 2 * kSecond;
  if (phase <= phase_) return;
  if (phase_ == Phase::none) {
    parts_.scoreboard.header().stopping.store(1);
    parts_.control.send("stopping");
  }
  phase_ = phase;
  switch (phase) {
    case Phase::none:
      return;
    case Phase::stopping:
      parts_.signal_children(SIGUSR2);
      backlog_drain_.begin();
      phase_ends_ = monotonic_now() + parts_.settings.grace;
      break;
    case Phase::quitting:
      parts_.signal_children(SIGQUIT);
      parts_.signal_children(SIGCONT);  // those that are stopped leave, too
      backlog_drain_.begin();
      phase_ends_ = monotonic_now() + kForSignalHandlers;
      break;
    case Phase::killing:
      parts_.signal_children(SIGKILL);
      phase_ends_ = kNever;
      break;
  }
}

void Shutdown::escalate() {
  if (phase_ == Phase::none || monotonic_now() < phase_ends_) return;
  advance(phase_ == Phase::stopping ? Phase::quitting : Phase::killing);
}

void Shutdown::count_aborted() {
  aborted_++;
  parts_.scoreboard.header().aborted.fetch_add(1);
}

// The time is twice that of one client: the last of them may have come just now.
void Shutdown::close_backlog() {
  readers_leave_ = monotonic_now() + 2 * parts_.settings.service.linger_timeout;
  backlog_drain_.stop_accepting();
  backlog_drain_.run();
}

bool Shutdown::has_readers() const {
  return backlog_drain_.lingers() && monotonic_now() < readers_leave_ && phase_ < Phase::quitting;
}

Nanoseconds Shutdown::next_deadline() const {
  constexpr Nanoseconds kReadersPolledEvery = 50 * kMillisecond;
  return backlog_drain_.lingers() ? monotonic_now() + kReadersPolledEvery : phase_ends_;
}

}  // namespace kilofork
