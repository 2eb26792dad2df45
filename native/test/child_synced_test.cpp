// A child that replies only when the completed record is on disk; the test stands for the syncer.
#include <signal.h>

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

using Records = std::vector<std::string>;

const std::string kUnavailable = "error unavailable: no log";

Service synced(Work work = {.kind = Work::Kind::none, .duration = 0}) {
  Service service = make_service(work);
  service.synced = true;
  return service;
}

TestClient greeted(const ChildHarness& harness, const Process& child) {
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  return client;
}

// A client whose request waits for the sync of its completed record.
TestClient syncing(const ChildHarness& harness, const Process& child) {
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK(check::holds_in_time([&] { return harness.board.header().commit.joined() == 1; }));
  CHECK_EQ(harness.slot().occupancy().state, State::syncing);
  return client;
}

std::string number(const Process& child) {
  return std::to_string(child.pid());
}
Records received_and_completed(const Process& child) {
  return {"server " + number(child) + " recvd message \"lalala\" from user arijort",
          "completed req \"lalala\" on " + number(child) + " total reqs 1"};
}

void fail_sync(const ChildHarness& harness) {
  GroupCommit& commit = harness.board.header().commit;
  commit.begin_sync();
  commit.fail_sync(0, EIO);
}

Fd offer_another(const ChildHarness& harness) {
  Fd log = open_log(file("log-1"));
  publish_log(harness.log_broadcast, log.get(), 1);
  harness.board.header().commit.offer(1);
  return log;
}

TEST("the reply waits for the sync, and so does the count") {
  ChildHarness harness(synced());
  const Process child = harness.fork_child();
  TestClient client = syncing(harness, child);
  CHECK(ChildHarness::records() == received_and_completed(child));
  CHECK(client.is_silent());
  CHECK_EQ(harness.slot().total.load(), 0);
  GroupCommit& commit = harness.board.header().commit;
  commit.begin_sync();
  CHECK(client.is_silent());
  commit.end_sync(1);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK_EQ(harness.slot().total.load(), 1);
}

TEST("signals other than orders to leave do not end the wait") {
  ChildHarness harness(synced());
  const Process child = harness.fork_child();
  TestClient client = syncing(harness, child);
  for (int i = 0; i < 10; i++)
    for (const int signal : {SIGUSR1, SIGTERM, SIGUSR2}) child.signal(signal);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(client.is_silent());
  GroupCommit& commit = harness.board.header().commit;
  commit.begin_sync();
  commit.end_sync(1);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
}

TEST(
    "after a failed sync the client is refused at once, and the request retracted in the next "
    "log") {
  ChildHarness harness(synced());
  const Process child = harness.fork_child();
  TestClient client = syncing(harness, child);
  fail_sync(harness);
  CHECK_EQ(client.line(), kUnavailable);
  CHECK_EQ(harness.slot().occupancy().state, State::syncing);  // its retraction is pending
  const Fd another = offer_another(harness);
  CHECK_EQ(client.rest(), "");
  CHECK(harness.reaches(State::replying) || harness.reaches(State::idle));
  CHECK(ChildHarness::records() == received_and_completed(child));
  CHECK(ChildHarness::records(file("log-1")) ==
        Records{"not acknowledged: req \"lalala\" on " + number(child) + " total reqs 1"});
  CHECK_EQ(harness.slot().total.load(), 0);
  CHECK_EQ(harness.slot().retracted.load(), 1);
  CHECK_EQ(harness.refused(Refusal::unavailable), 1);
}

TEST("a request is not retracted in the dead log while there is no other log") {
  ChildHarness harness(synced());
  const Process child = harness.fork_child();
  TestClient client = syncing(harness, child);
  fail_sync(harness);
  CHECK_EQ(client.line(), kUnavailable);
  harness.board.header().commit.offer(1);  // offered, and not published
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  const Fd another = offer_another(harness);
  CHECK_EQ(client.rest(), "");
  CHECK(ChildHarness::records() == received_and_completed(child));
  CHECK_EQ(ChildHarness::records(file("log-1")).size(), 1);
}

TEST("a request received in a log that is now dead is not completed in the next log") {
  ChildHarness harness(synced({.kind = Work::Kind::sleep, .duration = 100 * kMillisecond}));
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK(harness.reaches(State::working));
  fail_sync(harness);
  const Fd another = offer_another(harness);
  harness.board.header().log_epoch = 1;
  CHECK_EQ(client.rest(), kUnavailable + "\n");
  client.close();
  CHECK_EQ(ChildHarness::records().size(), 1);
  CHECK_EQ(ChildHarness::records(file("log-1")).size(), 0);
  TestClient next = greeted(harness, child);
  next.send("arijort:lalala\n");
  CHECK(check::holds_in_time([&] { return harness.board.header().commit.joined() == 1; }));
  CHECK(ChildHarness::records(file("log-1")) == received_and_completed(child));
}

TEST("nothing is written to a dead log, and nothing is acknowledged") {
  ChildHarness harness(synced());
  const Process child = harness.fork_child();
  fail_sync(harness);
  for (const auto* line : {"arijort:lalala\n", "arijort:again\n"}) {
    TestClient client = greeted(harness, child);
    client.send(line);
    CHECK_EQ(client.rest(), kUnavailable + "\n");
  }
  TestClient stranger = greeted(harness, child);
  stranger.send("nobody:lalala\n");
  CHECK_EQ(stranger.rest(), "error unauthorized: not a user\n");
  CHECK_EQ(ChildHarness::records().size(), 0);
}

TEST("a child that must stop or quit before there is another log aborts its request") {
  for (const int signal : {SIGUSR2, SIGQUIT}) {
    ChildHarness harness(synced());
    Process child = harness.fork_child();
    TestClient client = syncing(harness, child);
    fail_sync(harness);
    CHECK_EQ(client.line(), kUnavailable);
    child.signal(signal);
    CHECK(exited(child.wait(), kExitAborted));
    CHECK_EQ(harness.slot().retracted.load(), 1);
  }
}

}  // namespace
}  // namespace kilofork
