// The signals of a child: while it is idle, has a client, or works on a request.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include <optional>

#include "check.hpp"
#include "child_harness.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::exited;
using check::file;
using check::greeting_of;
using check::make_service;
using check::Process;
using check::reply_of;
using check::TestClient;

const std::string kShuttingDown = "error shutting-down: the server stops\n";

constexpr Work kLongWork{.kind = Work::Kind::sleep, .duration = 100 * kMillisecond};
constexpr Work kEndlessWork{.kind = Work::Kind::sleep, .duration = 3600 * kSecond};

// A client whose request is being worked on.
TestClient in_work(const ChildHarness& harness, const Process& child) {
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  client.send("arijort:lalala\n");
  CHECK(harness.reaches(State::working));
  return client;
}

TEST("an idle child that gets an order to leave does so, with the exit code for that") {
  for (const int signal : {SIGTERM, SIGUSR2, SIGQUIT}) {
    ChildHarness harness;
    Process child = harness.fork_child();
    child.signal(signal);
    CHECK(exited(child.wait(), kExitOrdered));
    if (signal != SIGQUIT) CHECK_EQ(harness.slot().occupancy().state, State::stopping);
  }
}

TEST("a child that leaves accepts no connection from the queue") {
  for (const int signal : {SIGTERM, SIGUSR2, SIGQUIT}) {
    ChildHarness harness(make_service(kLongWork));
    Process child = harness.fork_child();
    TestClient served = in_work(harness, child);
    TestClient queued(harness.port());
    queued.send("arijort:waiting\n");
    child.signal(signal);
    served.end_sending();
    CHECK(exited(child.wait(), signal == SIGQUIT ? kExitAborted : kExitOrdered));
    CHECK(queued.is_silent());
    const Fd left_over = harness.accept_left_over();
    CHECK(static_cast<bool>(left_over));
    CHECK(!harness.accept_left_over());
  }
}

TEST("a child that retires serves its present client to the end") {
  ChildHarness harness(make_service(kLongWork));
  Process child = harness.fork_child();
  TestClient client = in_work(harness, child);
  child.signal(SIGTERM);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  client.send("foobar:and another\n");
  CHECK_EQ(client.line(), reply_of(child, "and another", "foobar"));
  client.end_sending();
  CHECK_EQ(client.rest(), "");
  CHECK(exited(child.wait(), kExitOrdered));
  CHECK_EQ(harness.slot().total.load(), 2);
}

TEST("a child that retires between two requests still waits for the next one") {
  ChildHarness harness;
  Process child = harness.fork_child();
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  client.send("ari");
  CHECK(harness.reaches(State::reading));
  for (int i = 0; i < 3; i++) child.signal(SIGTERM);
  client.send("jort:lalala\n");
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  client.close();
  CHECK(exited(child.wait(), kExitOrdered));
}

TEST("a stopped child answers the request in work, then closes") {
  ChildHarness harness(make_service(kLongWork));
  Process child = harness.fork_child();
  TestClient client = in_work(harness, child);
  child.signal(SIGUSR2);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK_EQ(client.rest(), "");
  CHECK(exited(child.wait(), kExitOrdered));
  CHECK_EQ(harness.slot().total.load(), 1);
  CHECK_EQ(ChildHarness::records().size(), 2);
}

TEST("a stopped child refuses requests that were pipelined behind the one in work") {
  ChildHarness harness(make_service(kLongWork));
  Process child = harness.fork_child();
  TestClient client(harness.port());
  client.send("arijort:one\narijort:two\n");
  CHECK(harness.reaches(State::working));
  child.signal(SIGUSR2);
  CHECK_EQ(client.line(), greeting_of(child));
  CHECK_EQ(client.line(), reply_of(child, "one"));
  CHECK_EQ(client.rest(), kShuttingDown);
  CHECK(exited(child.wait(), kExitOrdered));
  CHECK_EQ(harness.slot().total.load(), 1);
}

TEST("a stopped child closes a kept connection without a text") {
  ChildHarness harness;
  Process child = harness.fork_child();
  TestClient client(harness.port());
  client.send("arijort:lalala\n");
  CHECK_EQ(client.line(), greeting_of(child));
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  child.signal(SIGUSR2);
  CHECK_EQ(client.rest(), "");
  CHECK(exited(child.wait(), kExitOrdered));
}

TEST("a stop never makes a request of a partial line") {
  ChildHarness harness;
  Process child = harness.fork_child();
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  client.send("arijort:half a li");
  ::usleep(5000);  // so that the child has read it; the outcome would be the same
  child.signal(SIGUSR2);
  const std::string rest = client.rest();
  CHECK(rest == kShuttingDown || rest.empty());
  CHECK(exited(child.wait(), kExitOrdered));
  CHECK_EQ(harness.slot().total.load(), 0);
}

TEST("SIGQUIT during a request ends a child at once, with the exit code for an aborted request") {
  ChildHarness harness(make_service(kEndlessWork));
  Process child = harness.fork_child();
  TestClient client = in_work(harness, child);
  child.signal(SIGQUIT);
  CHECK(exited(child.wait(), kExitAborted));
  CHECK_EQ(client.rest(), "");
  CHECK_EQ(harness.slot().total.load(), 0);
  CHECK_EQ(ChildHarness::records().size(), 1);
}

TEST("SIGQUIT while its client is idle aborts no request") {
  ChildHarness harness;
  Process child = harness.fork_child();
  TestClient client(harness.port());
  client.send("arijort:lalala\n");
  CHECK_EQ(client.line(), greeting_of(child));
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK(harness.reaches(State::reading));
  child.signal(SIGQUIT);
  CHECK(exited(child.wait(), kExitOrdered));
}

TEST("a child ignores the signals of a terminal, and SIGPIPE") {
  ChildHarness harness(make_service(kLongWork));
  const Process child = harness.fork_child();
  TestClient client = in_work(harness, child);
  for (const int signal : {SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD}) child.signal(signal);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
}

TEST("signals that let a request finish do not shorten its work") {
  ChildHarness harness(make_service(kLongWork));
  const Process child = harness.fork_child();
  const Nanoseconds before = monotonic_now();
  TestClient client = in_work(harness, child);
  for (const int signal : {SIGUSR1, SIGTERM, SIGUSR2}) child.signal(signal);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK(monotonic_now() - before >= kLongWork.duration);
}

void reopen(const ChildHarness& harness, const std::string& path) {
  auto& epoch = harness.board.header().log_epoch;
  publish_log(harness.log_broadcast, open_log(path).get(), epoch + 1);
  epoch.fetch_add(1);
}

TEST("a child writes its next record to the reopened log, with or without a signal") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client(harness.port());
  client.send("arijort:old\n");
  client.line();
  CHECK_EQ(client.line(), reply_of(child, "old"));
  reopen(harness, file("new"));
  client.send("arijort:new\n");
  CHECK_EQ(client.line(), reply_of(child, "new"));
  CHECK_EQ(ChildHarness::records().size(), 2);
  CHECK_EQ(ChildHarness::records(file("new")).size(), 2);
  CHECK_EQ(harness.slot().log_epoch.load(), 1);
}

TEST("SIGUSR1 makes an idle child close the old log at once, which frees its lock") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  harness.log.reset();
  for (std::uint32_t i = 1; i <= 20; i++) {
    reopen(harness, file("log." + std::to_string(i)));
    child.signal(SIGUSR1);
    CHECK(check::holds_in_time([&] { return harness.slot().log_epoch == i; }));
    const std::string last = i == 1 ? file("log") : file("log." + std::to_string(i - 1));
    (void)open_log(last);
  }
}

TEST("SIGUSR1 makes a child with a silent client close the old log, too") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  ::usleep(5000);  // so that it waits for the request
  reopen(harness, file("new"));
  child.signal(SIGUSR1);
  CHECK(check::holds_in_time([&] { return harness.slot().log_epoch == 1; }));
}

// Forks a child of a supervisor that is then killed, while SIGSTOP to the child has not taken
// effect yet if it is `stopping`; returns when that child is gone.
void orphan_a_child(ChildHarness& harness, bool stopping = false) {
  std::array<int, 2> witness{};
  CHECK_EQ(::pipe2(witness.data(), O_CLOEXEC), 0);
  Fd seen(witness[0]);
  Fd held(witness[1]);
  Process supervisor([&] {
    seen.reset();
    harness.front_end.reset();
    ChildContext context = harness.make_context();
    ChildSignals signals;
    set_up_signals_of_children(signals);
    if (::fork() == 0) run_child(context, harness.slot(), harness.slot().word);
    ::pause();
  });
  held.reset();
  CHECK(harness.reaches(State::idle));
  const pid_t child = harness.slot().occupancy().pid;
  {
    std::optional<check::Held> holder;
    if (stopping) holder.emplace(child);
    if (stopping) CHECK_EQ(::kill(child, SIGSTOP), 0);
    supervisor.signal(SIGKILL);
    (void)supervisor.wait();
  }
  CHECK(check::holds_in_time([&] {
    pollfd polled{.fd = seen.get(), .events = POLLIN, .revents = 0};
    return ::poll(&polled, 1, 0) > 0;  // end of file
  }));
}

TEST("a child ends with its supervisor, and leaves the segment to the front") {
  ChildHarness harness;
  std::ofstream(file("segment")) << "";
  orphan_a_child(harness);
  CHECK_EQ(::access(file("segment").c_str(), F_OK), 0);
}

TEST("a child whose supervisor and front are both dead removes the segment") {
  ChildHarness harness;
  std::ofstream(file("segment")) << "";
  harness.front_end.reset();
  orphan_a_child(harness);
  CHECK(::access(file("segment").c_str(), F_OK) != 0);
}

TEST("a child that is about to stop when its supervisor dies leaves nevertheless") {
  ChildHarness harness;
  std::ofstream(file("segment")) << "";
  harness.front_end.reset();
  orphan_a_child(harness, true);
  CHECK(::access(file("segment").c_str(), F_OK) != 0);
}

TEST("a child that somebody continues goes on") {
  ChildHarness harness;
  Process child = harness.fork_child([] {});
  child.signal(SIGCONT);
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
}

TEST("a child whose supervisor died before prctl() leaves at once") {
  ChildHarness harness;
  ChildContext context = harness.make_context();
  context.supervisor = 1;  // not the parent
  Process child([&] {
    ChildSignals signals;
    set_up_signals_of_children(signals);
    run_child(context, harness.slot(), harness.slot().word);
  });
  CHECK(exited(child.wait(), kExitOrdered));
}

TEST("a child that cannot accept ends with the exit code for that") {
  ChildHarness harness;
  ChildContext context = harness.make_context();
  context.listener = harness.wakeup.get();
  Process child([&] {
    ChildSignals signals;
    set_up_signals_of_children(signals);
    run_child(context, harness.slot(), harness.slot().word);
  });
  CHECK(exited(child.wait(), kExitSick));
}

}  // namespace
}  // namespace kilofork
