#include "child/child_signals.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "child/child.hpp"
#include "child/child_log.hpp"
#include "child/intake.hpp"
#include "child/work.hpp"
#include "process/signals.hpp"

namespace kilofork {

namespace {

ChildSignals* g_signals = nullptr;

void on_retire(int /*signal*/) {
  const int saved = errno;
  g_signals->retiring = 1;
  g_signals->intake->close();
  errno = saved;
}

void on_stop(int /*signal*/) {
  const int saved = errno;
  g_signals->stopping = 1;
  g_signals->intake->close();
  g_signals->intake->end_input();
  errno = saved;
}

// An orphan whose front is gone, too, removes the segment: no other process is left to do it. It
// waits for a moment, because supervisor and front may be dying at the same time.
void remove_segment_of_dead_server(const ChildContext& context) {
  constexpr int kWaitForFront = 20;  // ms
  if (::getppid() == context.supervisor) return;
  pollfd front{.fd = context.lifeline, .events = 0, .revents = 0};
  if (::poll(&front, 1, kWaitForFront) > 0) ::unlink(context.segment_path);
}

void on_quit(int /*signal*/) {
  remove_segment_of_dead_server(*g_signals->context);
  g_signals->log->close_torn_head();
  ::_exit(g_signals->in_request != 0 ? kExitAborted : kExitOrdered);
}

// Adopts the log here and not in the loop: the signal may come just before the loop waits in
// accept(), and the child would keep the old log until its next client.
void on_new_log(int /*signal*/) {
  const int saved = errno;
  g_signals->log->adopt_newest();
  errno = saved;
}

void on_alarm(int /*signal*/) {
  g_signals->work->time_out();
}

}  // namespace

void set_up_signals_of_children(ChildSignals& signals) {
  g_signals = &signals;
  handle_signal(SIGTERM, on_retire);
  handle_signal(SIGUSR2, on_stop);
  handle_signal(SIGQUIT, on_quit);
  handle_signal(SIGUSR1, on_new_log);
  handle_signal(SIGALRM, on_alarm);
  for (const int ignored : {SIGHUP, SIGINT, SIGPIPE, SIGXFSZ}) handle_signal(ignored, SIG_IGN);
  handle_signal(SIGCHLD, SIG_DFL);
}

ChildSignals& signals_of_this_child() {
  return *g_signals;
}

}  // namespace kilofork
