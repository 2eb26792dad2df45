// A child that replies only when the completed record is on disk; the test stands for the syncer.
#include <signal.h>

#include "check.hpp"
#include "child_stage.hpp"

namespace kilofork {
namespace {

using check::ChildStage;
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

TestClient greeted(const ChildStage& stage, const Process& child) {
  TestClient client(stage.port());
  CHECK_EQ(client.line(), greeting_of(child));
  return client;
}

// A client whose request waits for the sync of its completed record.
TestClient syncing(const ChildStage& stage, const Process& child) {
  TestClient client = greeted(stage, child);
  client.send("arijort:lalala\n");
  CHECK(check::holds_in_time([&] { return stage.board.header().commit.joined() == 1; }));
  CHECK_EQ(stage.slot().occupancy().state, State::syncing);
  return client;
}

std::string number(const Process& child) {
  return std::to_string(child.pid());
}
Records received_and_completed(const Process& child) {
  return {"server " + number(child) + " recvd message \"lalala\" from user arijort",
          "completed req \"lalala\" on " + number(child) + " total reqs 1"};
}

void fail_sync(const ChildStage& stage) {
  GroupCommit& commit = stage.board.header().commit;
  commit.begin_sync();
  commit.fail_sync(0, EIO);
}

Fd offer_another(const ChildStage& stage) {
  Fd log = open_log(file("log-1"));
  publish_log(stage.log_broadcast, log.get(), 1);
  stage.board.header().commit.offer(1);
  return log;
}

TEST("the reply waits for the sync, and so does the count") {
  ChildStage stage(synced());
  const Process child = stage.fork_child();
  TestClient client = syncing(stage, child);
  CHECK(ChildStage::records() == received_and_completed(child));
  CHECK(client.is_silent());
  CHECK_EQ(stage.slot().total.load(), 0);
  GroupCommit& commit = stage.board.header().commit;
  commit.begin_sync();
  CHECK(client.is_silent());
  commit.end_sync(1);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK_EQ(stage.slot().total.load(), 1);
}

TEST("signals other than orders to leave do not end the wait") {
  ChildStage stage(synced());
  const Process child = stage.fork_child();
  TestClient client = syncing(stage, child);
  for (int i = 0; i < 10; i++)
    for (const int signal : {SIGUSR1, SIGTERM, SIGUSR2}) child.signal(signal);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(client.is_silent());
  GroupCommit& commit = stage.board.header().commit;
  commit.begin_sync();
  commit.end_sync(1);
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
}

TEST(
    "after a failed sync the client is refused at once, and the request retracted in the next "
    "log") {
  ChildStage stage(synced());
  const Process child = stage.fork_child();
  TestClient client = syncing(stage, child);
  fail_sync(stage);
  CHECK_EQ(client.line(), kUnavailable);
  CHECK_EQ(stage.slot().occupancy().state, State::syncing);  // it still has_pending its record
  const Fd another = offer_another(stage);
  CHECK_EQ(client.rest(), "");
  CHECK(stage.reaches(State::replying) || stage.reaches(State::idle));
  CHECK(ChildStage::records() == received_and_completed(child));
  CHECK(ChildStage::records(file("log-1")) ==
        Records{"not acknowledged: req \"lalala\" on " + number(child) + " total reqs 1"});
  CHECK_EQ(stage.slot().total.load(), 0);
  CHECK_EQ(stage.slot().retracted.load(), 1);
  CHECK_EQ(stage.refused(Refusal::unavailable), 1);
}

TEST("it is not retracted in the dead log while there is no other") {
  ChildStage stage(synced());
  const Process child = stage.fork_child();
  TestClient client = syncing(stage, child);
  fail_sync(stage);
  CHECK_EQ(client.line(), kUnavailable);
  stage.board.header().commit.offer(1);  // said, and not there
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  const Fd another = offer_another(stage);
  CHECK_EQ(client.rest(), "");
  CHECK(ChildStage::records() == received_and_completed(child));
  CHECK_EQ(ChildStage::records(file("log-1")).size(), 1);
}

TEST("a request received in a log that is dead by now is not completed in the next log") {
  ChildStage stage(synced({.kind = Work::Kind::sleep, .duration = 100 * kMillisecond}));
  const Process child = stage.fork_child();
  TestClient client = greeted(stage, child);
  client.send("arijort:lalala\n");
  CHECK(stage.reaches(State::working));
  fail_sync(stage);
  const Fd another = offer_another(stage);
  stage.board.header().log_epoch = 1;
  CHECK_EQ(client.rest(), kUnavailable + "\n");
  client.close();
  CHECK_EQ(ChildStage::records().size(), 1);
  CHECK_EQ(ChildStage::records(file("log-1")).size(), 0);
  TestClient next = greeted(stage, child);
  next.send("arijort:lalala\n");
  CHECK(check::holds_in_time([&] { return stage.board.header().commit.joined() == 1; }));
  CHECK(ChildStage::records(file("log-1")) == received_and_completed(child));
}

TEST("nothing is written to a dead log, and nothing is acknowledged") {
  ChildStage stage(synced());
  const Process child = stage.fork_child();
  fail_sync(stage);
  for (const auto* line : {"arijort:lalala\n", "arijort:again\n"}) {
    TestClient client = greeted(stage, child);
    client.send(line);
    CHECK_EQ(client.rest(), kUnavailable + "\n");
  }
  TestClient stranger = greeted(stage, child);
  stranger.send("nobody:lalala\n");
  CHECK_EQ(stranger.rest(), "error unauthorized: not a user\n");
  CHECK_EQ(ChildStage::records().size(), 0);
}

TEST("a child that must stop or quit before there is another log aborts its request") {
  for (const int signal : {SIGUSR2, SIGQUIT}) {
    ChildStage stage(synced());
    Process child = stage.fork_child();
    TestClient client = syncing(stage, child);
    fail_sync(stage);
    CHECK_EQ(client.line(), kUnavailable);
    child.signal(signal);
    CHECK(exited(child.wait(), kExitAborted));
    CHECK_EQ(stage.slot().retracted.load(), 1);
  }
}

}  // namespace
}  // namespace kilofork
