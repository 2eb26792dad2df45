// A child that ends by itself: it has served the maximum number of requests, or the work of a
// request takes too long.
#include <signal.h>

#include <algorithm>
#include <random>
#include <set>

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

#ifdef __SANITIZE_ADDRESS__
constexpr int kConnections = 100;  // a fork is slow there
#else
constexpr int kConnections = 300;
#endif

constexpr int kRaces = 1200;

constexpr Work kNoWork{.kind = Work::Kind::none, .duration = 0};
constexpr Work kEndlessWork{.kind = Work::Kind::sleep, .duration = 3600 * kSecond};

TestClient greeted(const ChildHarness& harness, const Process& child) {
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  return client;
}

void serve(TestClient& client, const Process& child, const std::string& message) {
  client.send("arijort:" + message + "\n");
  CHECK_EQ(client.line(), reply_of(child, message));
}

// ---- recycling --------------------------------------------------------------------------------

Service recycling_service(std::uint64_t max_requests, std::uint64_t jitter = 0) {
  Service service = make_service();
  service.max_requests = max_requests;
  service.max_requests_jitter = jitter;
  return service;
}

TEST("a child leaves after the maximum of requests, with its exit code; the slot keeps its count") {
  ChildHarness harness(recycling_service(3));
  harness.slot().total = 1000;  // of children that had the slot before
  for (std::uint64_t born = 0; born < 3; born++) {
    Process child = harness.fork_child();
    for (int i = 0; i < 3; i++) {
      TestClient client = greeted(harness, child);
      serve(client, child, "lalala");
    }
    CHECK(exited(child.wait(), kExitRecycled));
    CHECK_EQ(harness.slot().total.load(), 1003 + born * 3);
    CHECK_EQ(harness.slot().connections.load(), 3 + born * 3);
  }
}

TEST("a child past its maximum still serves its present client to the end") {
  ChildHarness harness(recycling_service(2));
  Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  TestClient queued(harness.port());
  for (int i = 0; i < 50; i++) serve(client, child, "request " + std::to_string(i));
  client.close();
  CHECK(exited(child.wait(), kExitRecycled));
  CHECK_EQ(harness.slot().total.load(), 50);
  CHECK(queued.is_silent());
  CHECK(static_cast<bool>(harness.accept_left_over()));
}

TEST("only requests count: not silent clients, not refused ones") {
  ChildHarness harness(recycling_service(2));
  Process child = harness.fork_child();
  for (int i = 0; i < 10; i++) greeted(harness, child).close();
  for (const char* line : {"nonsense\n", "stranger:hello\n"}) {
    TestClient client = greeted(harness, child);
    client.send(line);
    CHECK(client.rest().starts_with("error "));
  }
  for (int i = 0; i < 2; i++) {
    TestClient client = greeted(harness, child);
    serve(client, child, "lalala");
  }
  CHECK(exited(child.wait(), kExitRecycled));
  CHECK_EQ(harness.slot().total.load(), 2);
}

TEST("without a maximum no child is recycled, whatever the jitter") {
  ChildHarness harness(recycling_service(0, 1));
  Process child = harness.fork_child();
  for (int i = 0; i < 200; i++) {
    TestClient client = greeted(harness, child);
    serve(client, child, "lalala");
  }
  CHECK(harness.reaches(State::idle));
  CHECK(!child.has_ended());
}

TEST("a child that retires during its last request leaves as ordered") {
  ChildHarness harness(recycling_service(1));
  Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  serve(client, child, "lalala");
  child.signal(SIGTERM);
  client.close();
  CHECK(exited(child.wait(), kExitOrdered));
}

// Forks a child and returns the number of requests that it serves before it is recycled.
std::uint64_t requests_of_a_child(ChildHarness& harness) {
  const std::uint64_t before = harness.slot().total;
  Process child = harness.fork_child();
  while (!child.has_ended()) {
    CHECK(harness.slot().total - before < 1000);  // as good as never
    TestClient client(harness.port());
    (void)::send(client.fd(), "arijort:lalala\n", 15, MSG_NOSIGNAL);
    const bool is_served =
        check::holds_in_time([&] { return !client.is_silent() || child.has_ended(); });
    CHECK(is_served);
    if (!client.is_silent()) CHECK_EQ(client.line(), greeting_of(child));
    if (child.has_ended()) break;
    CHECK_EQ(client.line(), reply_of(child, "lalala"));
    client.abort();
  }
  CHECK(exited(child.wait(), kExitRecycled));
  while (harness.accept_left_over()) continue;
  return harness.slot().total - before;
}

TEST("with jitter, children leave after different counts, each in the range") {
  constexpr std::uint64_t kLeast = 3;
  constexpr std::uint64_t kJitter = 7;
  ChildHarness harness(recycling_service(kLeast, kJitter));
  std::set<std::uint64_t> counts;
  for (int i = 0; i < 100; i++) counts.insert(requests_of_a_child(harness));
  CHECK(*counts.begin() >= kLeast);
  CHECK(*counts.rbegin() <= kLeast + kJitter);
  CHECK(counts.size() > 4);
}

TEST("without jitter, all children leave after the same count") {
  ChildHarness harness(recycling_service(4));
  for (int i = 0; i < 20; i++) CHECK_EQ(requests_of_a_child(harness), 4);
}

// ---- the work timeout -------------------------------------------------------------------------

Service timing_service(Work work, Nanoseconds timeout) {
  Service service = make_service(work);
  service.work_timeout = timeout;
  return service;
}

// The next line; empty if the connection has ended.
std::string line_or_end(const TestClient& client) {
  std::string line;
  for (char byte = 0;;) {
    const ssize_t received = ::recv(client.fd(), &byte, 1, 0);
    CHECK(received >= 0 || errno == ECONNRESET);
    if (received <= 0 || byte == '\n') return line;
    line += byte;
  }
}

struct Timeout {
  std::string request;  // quoted
  std::string pid;
  long milliseconds;
};

// Empty if it is another record.
std::optional<Timeout> parse_timeout(const std::string& record) {
  const std::string start = "work timeout: req ";
  const std::string after = " after ";
  if (!record.starts_with(start)) return std::nullopt;
  const std::size_t on = record.rfind(" on ");
  const std::size_t time = record.rfind(after);
  CHECK(on != std::string::npos && time != std::string::npos && on < time);
  CHECK(record.ends_with(" ms"));
  return Timeout{.request = record.substr(start.size(), on - start.size()),
                 .pid = record.substr(on + 4, time - on - 4),
                 .milliseconds = std::stol(record.substr(time + after.size()))};
}

TEST(
    "work that takes too long ends the child: a record names the request, the client gets no "
    "reply") {
  ChildHarness harness(timing_service(kEndlessWork, 20 * kMillisecond));
  harness.slot().total = 7;
  Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  TestClient queued(harness.port());
  client.send("foobar:la\"la\x1b on 1\n");
  CHECK_EQ(client.rest(), "");
  CHECK(exited(child.wait(), kExitStuck));
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), 2);
  CHECK(records[0].starts_with("server "));
  const auto timeout = parse_timeout(records[1]);
  CHECK(timeout.has_value());
  CHECK_EQ(timeout->request, R"("la\"la\x1b on 1")");
  CHECK_EQ(timeout->pid, std::to_string(child.pid()));
  CHECK(timeout->milliseconds >= 20);
  CHECK_EQ(harness.slot().total.load(), 7);
  CHECK(queued.is_silent());
  CHECK(static_cast<bool>(harness.accept_left_over()));
}

TEST("spinning work is ended as well") {
  ChildHarness harness(
      timing_service({.kind = Work::Kind::spin, .duration = 3600 * kSecond}, 20 * kMillisecond));
  Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK_EQ(client.rest(), "");
  CHECK(exited(child.wait(), kExitStuck));
}

TEST("work that ends in time is answered, and without a timeout all work is") {
  constexpr Work kWork{.kind = Work::Kind::sleep, .duration = 30 * kMillisecond};
  for (const Nanoseconds timeout : {Nanoseconds{0}, 3600 * kSecond}) {
    ChildHarness harness(timing_service(kWork, timeout));
    const Process child = harness.fork_child();
    TestClient client = greeted(harness, child);
    for (int i = 0; i < 3; i++) serve(client, child, "lalala");
  }
}

TEST("the timeout is for each request, not for a connection or a child") {
  constexpr Work kWork{.kind = Work::Kind::sleep, .duration = 50 * kMillisecond};
  ChildHarness harness(timing_service(kWork, kSecond));
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  for (int i = 0; i < 25; i++) serve(client, child, "lalala");  // together, longer than the timeout
}

TEST("an alarm while no work is running ends nothing") {
  ChildHarness harness(timing_service(kNoWork, 3600 * kSecond));
  const Process child = harness.fork_child();
  child.signal(SIGALRM);
  TestClient client = greeted(harness, child);
  child.signal(SIGALRM);
  serve(client, child, "lalala");
  child.signal(SIGALRM);
  client.send("arijort:half ");
  child.signal(SIGALRM);
  client.send("a line\n");
  CHECK_EQ(client.line(), reply_of(child, "half a line"));
  CHECK_EQ(ChildHarness::records().size(), 4);
}

TEST("the record has the time since the work of that request began") {
  constexpr Work kWork{.kind = Work::Kind::sleep, .duration = 100 * kMillisecond};
  ChildHarness harness(timing_service(kWork, 3600 * kSecond));
  Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  serve(client, child, "first");
  ::usleep(200'000);
  for (int i = 0; !child.has_ended(); i++) {
    CHECK(i < 20);  // the work may have ended before the alarm
    const Nanoseconds sent = monotonic_now();
    client.send("arijort:second\n");
    CHECK(harness.reaches(State::working));
    child.signal(SIGALRM);
    if (line_or_end(client) == reply_of(child, "second")) continue;
    CHECK(exited(child.wait(), kExitStuck));
    const auto named = parse_timeout(ChildHarness::records().back());
    CHECK(named.has_value());
    CHECK_EQ(named->request, "\"second\"");
    CHECK(named->milliseconds <= (monotonic_now() - sent) / kMillisecond);
  }
}

TEST("a child that retires or stops is ended by the timeout, or by SIGQUIT before it") {
  for (const int signal : {SIGTERM, SIGUSR2, SIGQUIT}) {
    const Nanoseconds timeout = signal == SIGQUIT ? 3600 * kSecond : 50 * kMillisecond;
    ChildHarness harness(timing_service(kEndlessWork, timeout));
    CHECK_EQ(::ftruncate(harness.log.get(), 0), 0);
    Process child = harness.fork_child();
    TestClient client = greeted(harness, child);
    client.send("arijort:lalala\n");
    CHECK(harness.reaches(State::working));
    child.signal(signal);
    CHECK(exited(child.wait(), signal == SIGQUIT ? kExitAborted : kExitStuck));
    CHECK_EQ(client.rest(), "");
    CHECK_EQ(ChildHarness::records().size(), signal == SIGQUIT ? 1 : 2);
  }
}

TEST("the timeout is recorded in the reopened log") {
  ChildHarness harness(timing_service(kEndlessWork, 100 * kMillisecond));
  Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  client.send("arijort:lalala\n");
  CHECK(harness.reaches(State::working));
  publish_log(harness.log_broadcast, open_log(file("new")).get(), 1);
  harness.board.header().log_epoch = 1;
  CHECK(exited(child.wait(), kExitStuck));
  CHECK_EQ(ChildHarness::records().size(), 1);
  CHECK_EQ(ChildHarness::records(file("new")).size(), 1);
  CHECK(parse_timeout(ChildHarness::records(file("new"))[0]).has_value());
}

// The lines of what a client got, newlines included.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t newline = text.find('\n', at);
    CHECK(newline != std::string::npos);  // nothing but whole lines
    lines.push_back(text.substr(at, newline - at));
    at = newline + 1;
  }
  return lines;
}

constexpr std::size_t kRequests = 20;

std::string message_of(std::size_t number) {
  return "request " + std::to_string(number);
}

// Checks the log against what the client got: each answered request has its two records; the
// request during which the child ended has a received record and a timeout record.
void check_ledger(const Process& child, const std::vector<std::string>& replies, bool timed_out,
                  Nanoseconds timeout) {
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), replies.size() * 2 + (timed_out ? 2 : 0));
  for (std::size_t i = 0; i * 2 < records.size(); i++) {
    const std::string quoted = '"' + message_of(i) + '"';
    const std::string& second = records[i * 2 + 1];
    CHECK(records[i * 2].find(" recvd message " + quoted + " from ") != std::string::npos);
    if (i < replies.size()) {
      CHECK(second.starts_with("completed req " + quoted + " on "));
      CHECK_EQ(replies[i], reply_of(child, message_of(i)));
    } else {
      const auto named = parse_timeout(second);
      CHECK(named.has_value());
      CHECK_EQ(named->request, quoted);
      CHECK(named->milliseconds >= timeout / kMillisecond);
    }
  }
}

// Sends all requests at once, or each after the reply to the one before.
std::vector<std::string> exchange(TestClient& client, bool pipelined) {
  std::string got;
  if (pipelined) {
    std::string requests;
    for (std::size_t i = 0; i < kRequests; i++) requests += "arijort:" + message_of(i) + "\n";
    client.send(requests);
    client.end_sending();
    return split(client.rest());
  }
  for (std::size_t i = 0; i < kRequests; i++) {
    const std::string request = "arijort:" + message_of(i) + "\n";
    if (::send(client.fd(), request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
    const std::string line = line_or_end(client);
    if (line.empty()) return split(got);
    got += line + '\n';
  }
  client.end_sending();
  return split(got + client.rest());
}

// Makes the work and its timeout nearly equally long: adjusts the timeout until half of the
// children time out.
void race(Work work) {
  ChildHarness harness(timing_service(work, work.duration + work.duration / 5));
  std::size_t answered = 0;
  std::size_t timed_out = 0;
  std::size_t timed_out_later = 0;  // not the first request of its child
  for (int i = 0; i < kConnections; i++) {
    CHECK_EQ(::ftruncate(harness.log.get(), 0), 0);
    harness.slot().total = 0;
    const Nanoseconds timeout = harness.service.work_timeout;
    Process child = harness.fork_child();
    TestClient client = greeted(harness, child);
    const auto replies = exchange(client, i % 2 == 0);
    client.close();
    const bool all = replies.size() == kRequests;
    if (all) child.signal(SIGTERM);
    CHECK(exited(child.wait(), all ? kExitOrdered : kExitStuck));
    check_ledger(child, replies, !all, timeout);
    CHECK_EQ(harness.slot().total.load(), replies.size());
    answered += replies.size();
    timed_out += all ? 0 : 1;
    timed_out_later += all || replies.empty() ? 0 : 1;
    // In steps of about a microsecond, so that most requests end close to their timeout.
    const Nanoseconds step = std::max(kMicrosecond, timeout / 200);
    harness.service.work_timeout += replies.size() < kRequests / 2 ? step : -step;
  }
  CHECK(answered > 0);
  CHECK(timed_out > 0);
  CHECK(timed_out_later > 0);
  std::printf("    answered %zu, timed out %zu\n", answered, timed_out);
}

TEST(
    "spinning as long as the timeout: each request is answered or recorded as timed out, never "
    "both") {
  race({.kind = Work::Kind::spin, .duration = 100 * kMicrosecond});
}

TEST(
    "sleeping as long as the timeout: each request is answered or recorded as timed out, never "
    "both") {
  race({.kind = Work::Kind::sleep, .duration = 100 * kMicrosecond});
}

// Each request begins when the alarm of the one before would be due, and takes no time. The machine
// may still delay a child for the whole timeout; a child that ends earlier was ended by the alarm
// of another request.
TEST("no request is ended by the alarm of the one before it") {
  constexpr Nanoseconds kTimeout = kMillisecond;
  std::mt19937 random(17);
  std::uniform_int_distribution<Nanoseconds> gaps(kTimeout - 80 * kMicrosecond,
                                                  kTimeout + 20 * kMicrosecond);
  ChildHarness harness(timing_service(kNoWork, kTimeout));
  for (int sent = 0; sent < kRaces;) {
    CHECK_EQ(::ftruncate(harness.log.get(), 0), 0);
    Process child = harness.fork_child();
    TestClient client = greeted(harness, child);
    bool ended = false;
    for (; sent < kRaces && !ended; sent++) {
      const Nanoseconds until = monotonic_now() + gaps(random);
      while (monotonic_now() < until) continue;
      ended = ::send(client.fd(), "arijort:lalala\n", 15, MSG_NOSIGNAL) < 0 ||
              !check::holds_in_time([&] { return !client.is_silent() || child.has_ended(); }) ||
              child.has_ended();
      if (!ended) CHECK_EQ(client.line(), reply_of(child, "lalala"));
    }
    if (!ended) break;
    CHECK(exited(child.wait(), kExitStuck));
    const auto named = parse_timeout(ChildHarness::records().back());
    CHECK(named.has_value());
    CHECK(named->milliseconds >= kTimeout / kMillisecond);
  }
}

}  // namespace
}  // namespace kilofork
