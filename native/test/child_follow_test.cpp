// A race: a child adopts a log, and a signal tells it of a newer one meanwhile. ptrace(2) delivers
// the signal after every 97th instruction.
#include <signal.h>
#include <sys/ptrace.h>

#include "check.hpp"
#include "child/child_log.hpp"
#include "child_harness.hpp"
#include "log/log_broadcast.hpp"
#include "process/signals.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::file;
using check::Process;

constexpr int kStride = 97;

struct {
  ChildLog* log;
  int receive;
} g_child;

// Does what the handler of a child does. Then withdraws the message, as the supervisor does before
// it publishes the next log.
void on_signal(int /*signal*/) {
  g_child.log->adopt_newest();
  char discarded = 0;
  while (::recv(g_child.receive, &discarded, sizeof discarded, MSG_DONTWAIT) >= 0) continue;
}

[[noreturn]] void adopt_and_write(const ChildHarness& harness, const ChildContext& context) {
  std::vector<char> buffer(AppendLog::buffer_bytes(context.service.max_line));
  ChildLog log(context, harness.slot(), ::getpid(), buffer);
  g_child = {.log = &log, .receive = harness.log_broadcast.receive.get()};
  handle_signal(SIGUSR1, on_signal);
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
  log.adopt_newest();
  ::raise(SIGWINCH);  // the end of the race
  log.record_unknown_user("nobody");
  ::_exit(0);
}

int stop_of(const Process& child) {
  int status = 0;
  CHECK_EQ(::waitpid(child.pid(), &status, 0), child.pid());
  CHECK(WIFSTOPPED(status));
  return WSTOPSIG(status);
}

TEST("a newer log that a signal handler adopts is not replaced by the older one") {
  ChildHarness harness;
  Header& header = harness.board.header();
  const ChildContext context = harness.make_context();
  bool is_over = false;
  int rounds = 0;
  for (; !is_over; rounds++) {
    const Fd first = open_log(file("log-1"));
    const Fd second = open_log(file("log-2"));
    header.log_epoch = 1;
    publish_log(harness.log_broadcast, first.get(), 1);
    Process child([&] { adopt_and_write(harness, context); });
    CHECK_EQ(stop_of(child), SIGSTOP);
    for (int step = 0; step < rounds * kStride && !is_over; step++) {
      CHECK_EQ(::ptrace(PTRACE_SINGLESTEP, child.pid(), nullptr, nullptr), 0);
      is_over = stop_of(child) == SIGWINCH;
    }
    header.log_epoch = 2;
    publish_log(harness.log_broadcast, second.get(), 2);
    CHECK_EQ(::ptrace(PTRACE_DETACH, child.pid(), nullptr, SIGUSR1), 0);
    CHECK_EQ(child.wait(), 0);
    CHECK_EQ(harness.slot().log_epoch.load(), 2);
    CHECK_EQ(ChildHarness::records(file("log-1")).size(), 0);
    CHECK_EQ(ChildHarness::records(file("log-2")).size(), static_cast<std::size_t>(rounds) + 1);
  }
  CHECK(rounds > 5);
}

}  // namespace
}  // namespace kilofork
