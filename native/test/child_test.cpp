// A real child behind a listening socket: what it answers, records and counts. Its signals are in
// child_signal_test.cpp.
#include "child/child.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>

#include "check.hpp"
#include "child_harness.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;
using check::ChildHarness;
using check::greeting_of;
using check::make_service;
using check::Process;
using check::reply_of;
using check::TestClient;

const std::string kTooLong = "error too-long: too long a line";

// A client that has been greeted by `child`.
TestClient greeted(const ChildHarness& harness, const Process& child) {
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  return client;
}

// Checks that the child still serves.
void check_serves(const ChildHarness& harness, const Process& child) {
  TestClient client = greeted(harness, child);
  client.send("foobar:still here\n");
  CHECK_EQ(client.line(), reply_of(child, "still here", "foobar"));
}

TEST("a child greets, records, replies and counts, and then waits for the next client") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  CHECK_EQ(harness.slot().occupancy().pid, child.pid());
  CHECK_EQ(harness.slot().occupancy().state, State::idle);
  {
    TestClient client = greeted(harness, child);
    CHECK(harness.reaches(State::reading));
    client.send("arijort:lalala 17\n");
    CHECK_EQ(client.line(), reply_of(child, "lalala 17"));
    CHECK_EQ(harness.slot().total.load(), 1);
    CHECK_EQ(harness.slot().connections.load(), 1);
  }
  CHECK(harness.reaches(State::idle));
  const std::string pid = std::to_string(child.pid());
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), 2);
  CHECK_EQ(records[0], "server " + pid + " recvd message \"lalala 17\" from user arijort");
  CHECK_EQ(records[1], "completed req \"lalala 17\" on " + pid + " total reqs 1");
  check_serves(harness, child);
  CHECK_EQ(harness.slot().total.load(), 2);
  CHECK_EQ(harness.slot().connections.load(), 2);
}

TEST("a child says an offset from UTC that is another than its server has said") {
  ::setenv("TZ", "CET-1", 1);
  ChildHarness harness;
  harness.board.header().utc_offset.publish(0, 7200);
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), 3);
  CHECK_EQ(records[0], "local time is UTC+01:00");
}

TEST("requests that come in one packet are answered in their order") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:one\nfoobar:two\r\narijort:three\n");
  CHECK_EQ(client.line(), reply_of(child, "one"));
  CHECK_EQ(client.line(), reply_of(child, "two", "foobar"));
  CHECK_EQ(client.line(), reply_of(child, "three"));
  CHECK_EQ(harness.slot().total.load(), 3);
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), 6);
  for (std::size_t i = 1; i < records.size(); i += 2)
    CHECK(records[i].ends_with(" total reqs " + std::to_string(i / 2 + 1)));
}

TEST("a thousand pipelined requests lose nothing, wherever the buffer ends") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  std::string requests;
  for (std::size_t i = 0; i < 1000; i++) requests += "arijort:" + std::string(i, 'x') + "\n";
  Process sender([&] { client.send(requests); });
  for (std::size_t i = 0; i < 1000; i++)
    CHECK_EQ(client.line(), reply_of(child, std::string(i, 'x')));
  CHECK_EQ(sender.wait(), 0);
}

TEST("a request is read byte by byte") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  const int on = 1;
  ::setsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  for (const char c : "arijort:slowly\n"s) {
    client.send({&c, 1});
    ::usleep(500);
  }
  CHECK_EQ(client.line(), reply_of(child, "slowly"));
}

TEST("a client that has shut its sending side gets all its replies, also to the last line") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:one\nfoobar:half\r");
  client.end_sending();
  CHECK_EQ(client.line(), reply_of(child, "one"));
  CHECK_EQ(client.line(), reply_of(child, "half\r", "foobar"));
  CHECK_EQ(client.rest(), "");
  CHECK(harness.reaches(State::idle));
}

TEST("a client that leaves without a byte is neither a request nor a refusal") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  greeted(harness, child).end_sending();
  check_serves(harness, child);
  CHECK_EQ(harness.slot().total.load(), 1);
  CHECK_EQ(ChildHarness::records().size(), 2);
}

TEST("the longest line is served, newline included; one byte more is refused") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  const std::string longest(1024 - "arijort:\n"s.size(), 'x');
  TestClient client = greeted(harness, child);
  client.send("arijort:" + longest + "\n");
  CHECK_EQ(client.line(), reply_of(child, longest));
  client.send("arijort:" + longest + "x\n");
  CHECK_EQ(client.line(), kTooLong);
  CHECK_EQ(client.rest(), "");
  client.close();
  check_serves(harness, child);
  CHECK_EQ(harness.refused(Refusal::too_long), 1);
  CHECK_EQ(ChildHarness::records().at(2),
           "protocol error: too-long on " + std::to_string(child.pid()));
}

TEST("a line that is too long is refused before it ends") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send(std::string(1024, 'x'));
  CHECK_EQ(client.line(), kTooLong);
}

TEST("a refused client that has sent far too much can still read the refusal") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  for (int i = 0; i < 20; i++) {
    TestClient client = greeted(harness, child);
    client.send(std::string(100'000, 'x'));
    client.end_sending();
    CHECK_EQ(client.rest(), kTooLong + "\n");
  }
  CHECK_EQ(harness.refused(Refusal::too_long), 20);
}

TEST("an unknown user is refused, and recorded with the name escaped") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:fine\nro\"ot\x1b:hello\narijort:never read\n");
  CHECK_EQ(client.line(), reply_of(child, "fine"));
  CHECK_EQ(client.rest(), "error unauthorized: not a user\n");
  client.close();
  check_serves(harness, child);
  CHECK_EQ(harness.refused(Refusal::unauthorized), 1);
  CHECK_EQ(harness.slot().total.load(), 2);
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), 5);
  CHECK_EQ(records[2],
           R"(authorization error: user "ro\"ot\x1b" on )" + std::to_string(child.pid()));
}

TEST("a line that is no request is refused") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  for (const char* line : {"\n", "hello\n", ":x\n"}) {
    TestClient client = greeted(harness, child);
    client.send(line);
    CHECK_EQ(client.rest(), "error protocol: not a request\n");
  }
  check_serves(harness, child);
  CHECK_EQ(harness.refused(Refusal::protocol), 3);
}

TEST("a client that sends nothing is refused after the idle timeout") {
  Service service = make_service();
  service.idle_timeout = 300 * kMillisecond;
  ChildHarness harness(service);
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  CHECK_EQ(client.rest(), "error timeout: too slow\n");
  client.close();
  check_serves(harness, child);
  CHECK_EQ(harness.refused(Refusal::timeout), 1);
}

TEST("a client that sends a line too slowly is refused after the read timeout") {
  Service service = make_service();
  service.read_timeout = 60 * kMillisecond;
  ChildHarness harness(service);
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  for (int i = 0; i < 5000 && client.is_silent(); i++) {
    client.send("x");
    ::usleep(2000);
  }
  CHECK_EQ(client.line(), "error timeout: too slow");
  client.close();
  check_serves(harness, child);
}

TEST("a client that reads nothing keeps its child no longer than the write timeout") {
  Service service = make_service();
  service.write_timeout = 50 * kMillisecond;
  ChildHarness harness(service);
  const int small = 4096;
  ::setsockopt(harness.listener.fd.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const Process child = harness.fork_child();
  TestClient client(harness.port(), small);
  for (int i = 0; i < 60; i++) {
    const std::string request = "arijort:" + std::string(1000, 'x') + "\n";
    if (::send(client.fd(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) break;
  }
  check_serves(harness, child);
}

TEST("a client that vanishes during the work loses its reply; the request counts") {
  ChildHarness harness(make_service({.kind = Work::Kind::sleep, .duration = 50 * kMillisecond}));
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:gone\n");
  CHECK(harness.reaches(State::working));
  client.abort();
  check_serves(harness, child);
  CHECK_EQ(harness.slot().total.load(), 2);
  CHECK_EQ(ChildHarness::records().size(), 4);
}

TEST("a request that cannot be recorded is refused and not counted") {
  ChildHarness harness(make_service(), "/dev/full");
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK_EQ(client.rest(), "error unavailable: no log\n");
  CHECK_EQ(harness.slot().total.load(), 0);
  CHECK_EQ(harness.refused(Refusal::unavailable), 1);
}

TEST("spinning work uses CPU time") {
  ChildHarness harness(make_service({.kind = Work::Kind::spin, .duration = 20 * kMillisecond}));
  const Process child = harness.fork_child();
  clockid_t used = 0;
  CHECK_EQ(::clock_getcpuclockid(child.pid(), &used), 0);
  TestClient client = greeted(harness, child);
  const Nanoseconds before = read_clock(used);
  client.send("arijort:lalala\n");
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK(read_clock(used) - before >= 20 * kMillisecond);
}

TEST("the count of a child begins at 1, the total of its slot continues") {
  ChildHarness harness;
  harness.slot().total = 1000;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK_EQ(client.line(), reply_of(child, "lalala"));
  CHECK_EQ(harness.slot().total.load(), 1001);
  CHECK(ChildHarness::records().at(1).ends_with(" total reqs 1"));
}

}  // namespace
}  // namespace kilofork
