#include "child/child_signals.hpp"

#include <unistd.h>

#include <cerrno>

#include "child/child.hpp"
#include "child/child_log.hpp"
#include "child/intake.hpp"
#include "child/segment_guard.hpp"
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

bool is_orphan() {
  return ::getppid() != g_signals->context->supervisor;
}

void on_quit(int /*signal*/) {
  g_signals->log->close_torn_head();
  if (is_orphan()) {
    g_signals->intake->drop();
    guard_segment(*g_signals->context);
  }
  ::_exit(g_signals->in_request != 0 ? kExitAborted : kExitOrdered);
}

void on_continue(int signal) {
  if (is_orphan()) on_quit(signal);
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
  handle_signal(SIGCONT, on_continue);
  handle_signal(SIGUSR1, on_new_log);
  handle_signal(SIGALRM, on_alarm);
  for (const int ignored : {SIGHUP, SIGINT, SIGPIPE, SIGXFSZ}) handle_signal(ignored, SIG_IGN);
  handle_signal(SIGCHLD, SIG_DFL);
}

ChildSignals& signals_of_this_child() {
  return *g_signals;
}

}  // namespace kilofork
