// The keeper, in a process of its own; the test has the place of children and supervisor.
#include "keeper/keeper.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "check.hpp"
#include "child_harness.hpp"
#include "client.hpp"
#include "keeper/batch.hpp"
#include "process/fd_passing.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::holds_in_time;
using check::Process;
using check::TestClient;

std::array<Fd, 2> make_pair() {
  std::array<int, 2> ends{};
  CHECK_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
  set_receive_timeout(ends[0], check::kPatience);
  set_receive_timeout(ends[1], check::kPatience);
  return {Fd(ends[0]), Fd(ends[1])};
}

// What a child got: the connections, and what is held of them.
struct Got {
  Batch batch{};
  std::vector<Fd> fds;
  std::string held;
};

class FakeChild {
 public:
  FakeChild(Scoreboard& board, std::size_t slot, Fd end)
      : word_(board.slots()[slot].batch), end_(std::move(end)) {
    report({.ticket = 0, .entry = Report::kNone, .fate = Fate::kept, .new_line = 0, .done = 1});
  }
  Got batch() {
    Got got;
    std::array<char, 4096> held{};
    const std::array<iovec, 2> parts{{{.iov_base = &got.batch, .iov_len = sizeof got.batch},
                                      {.iov_base = held.data(), .iov_len = held.size()}}};
    std::array<int, kMostPassed> fds{};
    std::size_t count = 0;
    const ssize_t bytes = receive_with_fds(end_.get(), parts, fds, count, 0);
    CHECK(bytes >= static_cast<ssize_t>(sizeof got.batch));
    got.held.assign(held.data(), static_cast<std::size_t>(bytes) - sizeof got.batch);
    for (std::size_t i = 0; i < count; i++) got.fds.emplace_back(fds.at(i));
    CHECK_EQ(got.fds.size(), got.batch.count);
    return got;
  }
  [[nodiscard]] bool has_batch() const {
    char byte = 0;
    return ::recv(end_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }
  std::size_t begin(const Got& got) { return *word_.take(got.batch.ticket); }
  [[nodiscard]] BatchWord word() const { return word_; }
  void report(const Report& report, std::string_view held = {}) {
    std::string bytes(reinterpret_cast<const char*>(&report), sizeof report);
    bytes += held;
    CHECK_EQ(::send(end_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), bytes.size());
  }
  void done(const Got& got, std::uint8_t entry = Report::kNone, Fate fate = Fate::kept) {
    report({.ticket = got.batch.ticket, .entry = entry, .fate = fate, .new_line = 1, .done = 1});
  }
  void die() { end_.reset(); }

 private:
  BatchWord word_;
  Fd end_;
};

class Harness {
 public:
  explicit Harness(std::size_t slots = 2, std::size_t most_in_batch = kMostInBatch)
      : board(Scoreboard::create(check::segment_name(), static_cast<std::uint32_t>(slots), 4, {})) {
    Segment::remove(check::segment_name());
    service.most_in_batch = most_in_batch;
    ::fcntl(listener.fd.get(), F_SETFL, O_NONBLOCK);
    for (std::size_t slot = 0; slot < slots; slot++) {
      auto [keepers, childs] = make_pair();
      ends.push_back(keepers.get());
      kept.push_back(std::move(keepers));
      childs_ends.push_back(std::move(childs));
    }
  }

  Process start(int predecessor = -1) {
    auto [ours, theirs] = make_pair();
    control = std::move(ours);
    const int its_control = theirs.get();
    const pid_t supervisor = ::getpid();
    return Process([&, its_control, supervisor] {
      control.reset();
      childs_ends.clear();
      run_keeper({.service = service,
                  .scoreboard = board,
                  .supervisor = supervisor,
                  .listener = listener.fd.get(),
                  .control = its_control,
                  .wakeup = wakeup.get(),
                  .children = ends,
                  .predecessor = predecessor});
    });
  }
  // Of a child that is idle when this returns.
  FakeChild child(std::size_t slot) {
    FakeChild fake(board, slot, std::move(childs_ends[slot]));
    const Got asked = fake.batch();
    CHECK_EQ(asked.batch.count, 0);
    fake.done(asked);
    return fake;
  }
  [[nodiscard]] std::uint16_t port() const { return listener.port; }
  [[nodiscard]] KeeperState& state() const { return board.header().keeper; }
  [[nodiscard]] std::uint64_t refused(Refusal refusal) const {
    return state().refused.at(static_cast<std::size_t>(refusal));
  }
  [[nodiscard]] bool has(std::uint32_t connections) const {
    return holds_in_time([&] { return state().connections == connections; });
  }

  KeeperService service{.greeting = Template("hello from {pid}\n"),
                        .refusals = check::make_service().refusals,
                        .idle_timeout = 0,
                        .read_timeout = 0,
                        .linger_timeout = check::kPatience,
                        .max_per_address = 0,
                        .longest_held = 64,
                        .most_in_batch = kMostInBatch};
  Scoreboard board;
  Listener listener =
      listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 64, .write_timeout = check::kPatience});
  Fd wakeup{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Fd control;
  std::vector<int> ends;
  std::vector<Fd> kept;
  std::vector<Fd> childs_ends;
};

std::string hello_of(const Process& keeper) {
  return "hello from " + std::to_string(keeper.pid());
}
void answer(const Got& got, std::size_t entry, std::string_view text) {
  CHECK_EQ(::send(got.fds.at(entry).get(), text.data(), text.size(), MSG_NOSIGNAL), text.size());
}
std::string read_request(const Got& got, std::size_t entry) {
  std::array<char, 100> bytes{};
  const ssize_t length = ::recv(got.fds.at(entry).get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  CHECK(length >= 0);
  return {bytes.data(), static_cast<std::size_t>(length)};
}

TEST("a silent client is greeted, and has no child until it sends something") {
  Harness harness;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  CHECK_EQ(client.line(), hello_of(keeper));
  CHECK(!child.has_batch());
  client.send("request\n");
  const Got got = child.batch();
  CHECK_EQ(got.batch.count, 1);
  CHECK_EQ(child.begin(got), 0);
  CHECK_EQ(read_request(got, 0), "request\n");
  answer(got, 0, "reply\n");
  CHECK_EQ(client.line(), "reply");
}

TEST("a kept connection waits for its next request") {
  Harness harness;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  for (int i = 0; i < 3; i++) {
    client.send("request\n");
    Got got = child.batch();
    child.begin(got);
    read_request(got, 0);
    got.fds.clear();
    child.done(got);
    CHECK(!child.has_batch());
  }
  CHECK_EQ(harness.state().accepted, 1U);
}

TEST("what comes while a child has the connection is handed out after its turn") {
  Harness harness;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  client.send("one\n");
  Got got = child.batch();
  child.begin(got);
  CHECK_EQ(read_request(got, 0), "one\n");
  client.send("two\n");
  CHECK(holds_in_time([&] { return read_request(got, 0) == "two\n"; }));
  client.send("three\n");
  child.done(got);
  got = child.batch();
  CHECK_EQ(read_request(got, 0), "three\n");
}

TEST("bytes of a line without its end are held, and come with the next turn") {
  Harness harness;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  client.send("arijort:ha");
  Got got = child.batch();
  child.begin(got);
  const std::string half = read_request(got, 0);
  child.report(
      {.ticket = got.batch.ticket, .entry = 0, .fate = Fate::kept, .new_line = 1, .done = 1}, half);
  client.send("lf\n");
  got = child.batch();
  CHECK_EQ(got.held, "arijort:ha");
  CHECK_EQ(got.batch.held.at(0), 10);
  CHECK_EQ(read_request(got, 0), "lf\n");
}

TEST("a connection with more input goes to the end of the queue") {
  Harness harness(2, 1);
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient greedy(harness.port());
  TestClient modest(harness.port());
  greedy.line();
  modest.line();
  greedy.send("a\nb\n");
  Got got = child.batch();
  child.begin(got);
  CHECK_EQ(read_request(got, 0), "a\nb\n");
  modest.send("c\n");
  CHECK(holds_in_time([&] { return harness.state().ready == 1; }));
  child.report(
      {.ticket = got.batch.ticket, .entry = 0, .fate = Fate::more, .new_line = 1, .done = 1},
      "b\n");
  got = child.batch();
  CHECK_EQ(read_request(got, 0), "c\n");
  child.begin(got);
  child.done(got);
  CHECK_EQ(child.batch().held, "b\n");
}

TEST("the child that was idle last gets the next batch") {
  Harness harness(3);
  const Process keeper = harness.start();
  FakeChild first = harness.child(0);
  FakeChild second = harness.child(1);
  TestClient client(harness.port());
  client.line();
  for (int i = 0; i < 3; i++) {
    client.send("request\n");
    const Got got = second.batch();
    second.begin(got);
    read_request(got, 0);
    second.done(got);
  }
  CHECK(!first.has_batch());
}

// Returns when it has stopped.
void stop(const Process& keeper) {
  keeper.signal(SIGSTOP);
  CHECK_EQ(::waitpid(keeper.pid(), nullptr, WUNTRACED), keeper.pid());
}

// Three connections in one batch of the first child.
struct BatchOfThree {
  BatchOfThree() : keeper(harness.start()), first(harness.child(0)) {
    for (TestClient& client : clients) client.line();
    stop(keeper);
    for (TestClient& client : clients) client.send("request\n");
    keeper.signal(SIGCONT);
    got = first.batch();
    CHECK_EQ(got.batch.count, 3);
  }
  Harness harness;
  Process keeper;
  FakeChild first;
  std::array<TestClient, 3> clients{TestClient(harness.port()), TestClient(harness.port()),
                                    TestClient(harness.port())};
  Got got;
};

TEST("a child that dies loses the connection that it had begun, and no other") {
  BatchOfThree batch;
  batch.first.begin(batch.got);  // finished: another one was begun after it
  read_request(batch.got, 0);
  batch.first.begin(batch.got);
  FakeChild second = batch.harness.child(1);
  batch.got.fds.clear();
  batch.first.die();
  CHECK(batch.harness.has(2));
  Got got = second.batch();  // the third
  CHECK_EQ(got.batch.count, 1);
  second.begin(got);
  CHECK_EQ(read_request(got, 0), "request\n");
  second.done(got);
  int ended = 0;
  for (TestClient& client : batch.clients) ended += client.has_ended() ? 1 : 0;
  CHECK_EQ(ended, 1);
}

TEST("a slow child keeps the connection that it has begun; others get the rest of its batch") {
  BatchOfThree batch;
  batch.first.begin(batch.got);
  FakeChild second = batch.harness.child(1);
  Got got = second.batch();
  CHECK_EQ(got.batch.count, 2);
  CHECK(!batch.first.word().take(batch.got.batch.ticket));
  answer(batch.got, 0, "late\n");
  batch.first.done(batch.got);
  CHECK(batch.harness.has(3));
}

TEST("a child that leaves in the middle of its batch gives the rest back") {
  BatchOfThree batch;
  batch.first.begin(batch.got);
  read_request(batch.got, 0);
  batch.first.done(batch.got, 0);
  batch.first.die();
  FakeChild second = batch.harness.child(1);
  CHECK_EQ(second.batch().batch.count, 2);
  CHECK(batch.harness.has(3));
}

TEST(
    "a client that ends its side costs no child; one that waits for a reply keeps its connection") {
  Harness harness;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient gone(harness.port());
  gone.line();
  gone.close();
  CHECK(harness.has(0));
  CHECK(!child.has_batch());
  TestClient half(harness.port());
  half.line();
  half.send("request\n");
  half.end_sending();
  const Got got = child.batch();
  child.begin(got);
  read_request(got, 0);
  answer(got, 0, "reply\n");
  CHECK_EQ(half.line(), "reply");
  child.done(got);
  CHECK_EQ(half.rest(), "");
  CHECK(harness.has(0));
}

TEST("a refused client has time to read, and its connection ends when it has left") {
  Harness harness;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  client.send("request\n");
  const Got got = child.batch();
  child.begin(got);
  answer(got, 0, "error\n");
  CHECK_EQ(::shutdown(got.fds.at(0).get(), SHUT_WR), 0);
  child.done(got, 0, Fate::leaving);
  client.send("more, which nobody reads\n");
  CHECK_EQ(client.line(), "error");
  CHECK(harness.has(1));
  client.close();
  CHECK(harness.has(0));
}

TEST("time-outs are refused: no first byte, and a line that is too slow, however it comes") {
  Harness harness;
  harness.service.idle_timeout = 100 * kMillisecond;
  harness.service.read_timeout = 300 * kMillisecond;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient silent(harness.port());
  silent.line();
  CHECK_EQ(silent.line(), "error timeout: too slow");
  TestClient slow(harness.port());
  slow.line();
  const Nanoseconds began = monotonic_now();
  std::string held;
  while (harness.refused(Refusal::timeout) < 2) {
    if (::send(slow.fd(), "x", 1, MSG_NOSIGNAL) < 0) break;
    if (!holds_in_time([&] { return child.has_batch() || harness.refused(Refusal::timeout) == 2; }))
      break;
    if (harness.refused(Refusal::timeout) == 2) break;
    const Got got = child.batch();
    child.begin(got);
    held += read_request(got, 0);
    const std::uint8_t new_line = held.size() == 1 ? 1 : 0;
    child.report({.ticket = got.batch.ticket,
                  .entry = 0,
                  .fate = Fate::kept,
                  .new_line = new_line,
                  .done = 1},
                 held);
    ::usleep(20'000);
  }
  CHECK_EQ(harness.refused(Refusal::timeout), 2);
  CHECK(monotonic_now() - began >= 300 * kMillisecond);
  CHECK_EQ(slow.line(), "error timeout: too slow");
}

TEST("one address has no more connections than the limit, and one that left counts no more") {
  Harness harness;
  harness.service.max_per_address = 2;
  const Process keeper = harness.start();
  TestClient a(harness.port());
  TestClient b(harness.port());
  a.line();
  b.line();
  TestClient c(harness.port());
  CHECK_EQ(c.line(), "error busy: too many of you");
  a.close();
  CHECK(harness.has(1));
  TestClient d(harness.port());
  CHECK_EQ(d.line(), hello_of(keeper));
}

TEST(
    "at a stop idle clients get the end of file, those with a request that has not begun the "
    "reason") {
  Harness harness;
  Process keeper = harness.start();
  TestClient idle(harness.port());
  TestClient ready(harness.port());
  idle.line();
  ready.line();
  ready.send("request\n");
  CHECK(holds_in_time([&] { return harness.state().ready == 1; }));
  keeper.signal(SIGUSR2);
  CHECK_EQ(idle.rest(), "");
  CHECK_EQ(ready.line(), "error shutting-down: the server stops");
  CHECK_EQ(ready.rest(), "");
  idle.close();
  ready.close();
  CHECK(check::exited(keeper.wait(), 0));
}

TEST("at a stop a request in work is answered before its connection ends") {
  Harness harness;
  Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  client.send("request\n");
  Got got = child.batch();
  child.begin(got);
  read_request(got, 0);
  keeper.signal(SIGUSR2);
  CHECK(!keeper.has_ended());
  answer(got, 0, "reply\n");
  got.fds.clear();
  child.done(got);
  CHECK_EQ(client.line(), "reply");
  CHECK_EQ(client.rest(), "");
  client.close();
  CHECK(check::exited(keeper.wait(), 0));
}

TEST("a report that is forged spoils no connection of another child") {
  BatchOfThree batch;
  FakeChild second = batch.harness.child(1);
  const Report forged[] = {
      {.ticket = batch.got.batch.ticket, .entry = 0, .fate = Fate::ended, .new_line = 0, .done = 0},
      {.ticket = batch.got.batch.ticket,
       .entry = 31,
       .fate = Fate::ended,
       .new_line = 0,
       .done = 1},
      {.ticket = 12345, .entry = 0, .fate = Fate::ended, .new_line = 0, .done = 1}};
  for (const Report& report : forged) second.report(report);
  batch.first.begin(batch.got);
  answer(batch.got, 0, "reply\n");
  // Its own batch: an entry that is none, a fate that is none, and more than may be held.
  batch.first.report({.ticket = batch.got.batch.ticket,
                      .entry = 200,
                      .fate = Fate::ended,
                      .new_line = 0,
                      .done = 0});
  batch.first.report({.ticket = batch.got.batch.ticket,
                      .entry = 0,
                      .fate = static_cast<Fate>(9),
                      .new_line = 0,
                      .done = 0});
  batch.first.report(
      {.ticket = batch.got.batch.ticket, .entry = 0, .fate = Fate::kept, .new_line = 0, .done = 0},
      std::string(batch.harness.service.longest_held + 1, 'x'));
  CHECK(batch.harness.has(2));
  CHECK(!batch.keeper.has_ended());
}

TEST("a report of a connection that its child has not begun is the end of that connection only") {
  BatchOfThree batch;
  batch.first.report({.ticket = batch.got.batch.ticket,
                      .entry = 2,
                      .fate = Fate::ended,
                      .new_line = 0,
                      .done = 0});
  CHECK(batch.harness.has(2));
  // Also while the child has a copy of it.
  CHECK(holds_in_time([&] {
    return std::any_of(batch.clients.begin(), batch.clients.end(),
                       [](TestClient& client) { return client.has_ended(); });
  }));
  TestClient silent(batch.harness.port());  // has the place of the one that has ended
  silent.line();
  batch.first.begin(batch.got);
  read_request(batch.got, 0);
  batch.first.done(batch.got);
  const Got got = batch.first.batch();
  CHECK_EQ(got.batch.count, 1);
  CHECK_EQ(read_request(got, 0), "request\n");
}

// Reports that a child may send, about what it does not have.
Report ended(std::uint32_t ticket, std::uint8_t entry) {
  return {.ticket = ticket, .entry = entry, .fate = Fate::ended, .new_line = 0, .done = 0};
}

TEST("a report of an earlier batch, or of an entry that is none, ends no connection") {
  Harness harness(1);
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient idle(harness.port());
  idle.line();
  TestClient client(harness.port());
  client.line();
  client.send("request\n");
  Got got = child.batch();
  const std::uint32_t earlier = got.batch.ticket;
  child.begin(got);
  read_request(got, 0);
  child.done(got);
  client.send("request\n");
  got = child.batch();
  child.begin(got);
  read_request(got, 0);
  child.report(ended(earlier, 0));
  child.report(ended(got.batch.ticket, 31));
  answer(got, 0, "reply\n");
  child.done(got);
  CHECK_EQ(client.line(), "reply");
  for (TestClient* each : {&idle, &client}) {
    each->send("request\n");
    got = child.batch();
    child.begin(got);
    CHECK_EQ(read_request(got, 0), "request\n");
    child.done(got);
  }
}

TEST("a connection that is reported twice ends once; the one in its place stays") {
  Harness harness(1);
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient first(harness.port());
  first.line();
  first.send("request\n");
  Got got = child.batch();
  child.begin(got);
  child.report(ended(got.batch.ticket, 0));
  CHECK(harness.has(0));
  TestClient second(harness.port());
  second.line();
  child.report(ended(got.batch.ticket, 0));
  child.done(got);
  second.send("request\n");
  CHECK_EQ(read_request(child.batch(), 0), "request\n");
}

TEST("a refused client that does not leave is ended when its time is over") {
  Harness harness(1);
  harness.service.linger_timeout = 50 * kMillisecond;
  const Process keeper = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  client.send("request\n");
  Got got = child.batch();
  child.begin(got);
  read_request(got, 0);
  child.done(got, 0, Fate::leaving);
  CHECK(harness.has(0));
}

TEST("what an earlier child of its slot had not begun is nothing that a new child has") {
  Harness harness;
  BatchWord word(harness.board.slots()[0].batch);
  word.set(7, 3);
  const Process keeper = harness.start();
  const FakeChild child = harness.child(0);
  CHECK(holds_in_time([&] { return word.get().next == word.get().end; }));
}

TEST("a new child that the supervisor announces gets batches") {
  Harness harness(2);
  harness.ends[1] = -1;
  const Process keeper = harness.start();
  const NewChildren message{.count = 1, .slots = {1}};
  const iovec part{.iov_base = const_cast<NewChildren*>(&message), .iov_len = sizeof message};
  const int end = harness.kept[1].get();
  CHECK(send_with_fds(harness.control.get(), {&part, 1}, {&end, 1}, 0) > 0);
  FakeChild child(harness.board, 1, std::move(harness.childs_ends[1]));
  TestClient client(harness.port());
  client.line();
  client.send("request\n");
  CHECK_EQ(child.batch().batch.count, 1);
}

TEST("a keeper hands over what it has: idle, half a line, ready, in work") {
  Harness harness(1, 1);
  Process first = harness.start();
  FakeChild child = harness.child(0);
  TestClient half(harness.port());
  TestClient idle(harness.port());
  TestClient busy(harness.port());
  TestClient ready(harness.port());
  for (TestClient* client : {&half, &idle, &busy, &ready}) client->line();
  half.send("ha");
  Got got = child.batch();
  child.begin(got);
  read_request(got, 0);
  child.report(
      {.ticket = got.batch.ticket, .entry = 0, .fate = Fate::kept, .new_line = 1, .done = 1}, "ha");
  busy.send("busy\n");
  got = child.batch();
  child.begin(got);
  CHECK_EQ(read_request(got, 0), "busy\n");
  ready.send("ready\n");
  CHECK(holds_in_time([&] { return harness.state().ready == 1; }));

  auto [from_first, to_second] = make_pair();
  const NewChildren order{};
  const iovec part{.iov_base = const_cast<NewChildren*>(&order), .iov_len = sizeof order};
  const int passed = to_second.get();
  CHECK(send_with_fds(harness.control.get(), {&part, 1}, {&passed, 1}, 0) > 0);
  to_second.reset();
  const Process second = harness.start(from_first.get());
  CHECK(check::exited(first.wait(), 0));
  CHECK(harness.has(4));

  answer(got, 0, "reply\n");
  child.done(got);
  CHECK_EQ(busy.line(), "reply");
  got = child.batch();
  CHECK_EQ(read_request(got, 0), "ready\n");
  child.begin(got);
  child.done(got);
  half.send("lf\n");
  got = child.batch();
  CHECK_EQ(got.held, "ha");
  child.begin(got);
  read_request(got, 0);
  child.done(got);
  idle.send("idle\n");
  CHECK_EQ(read_request(child.batch(), 0), "idle\n");
}

TEST("of a child that ends during a handover, the next keeper serves what was not begun") {
  Harness harness(2, 1);
  Process first = harness.start();
  FakeChild child = harness.child(0);
  TestClient client(harness.port());
  client.line();
  client.send("request\n");
  child.batch();
  stop(first);
  auto [from_first, to_second] = make_pair();
  const NewChildren order{};
  const iovec part{.iov_base = const_cast<NewChildren*>(&order), .iov_len = sizeof order};
  const int passed = to_second.get();
  CHECK(send_with_fds(harness.control.get(), {&part, 1}, {&passed, 1}, 0) > 0);
  to_second.reset();
  harness.ends[0] = -1;  // the first keeper does not know it yet
  const Process second = harness.start(from_first.get());
  first.signal(SIGCONT);
  CHECK(check::exited(first.wait(), 0));
  FakeChild other = harness.child(1);
  Got got = other.batch();
  while (got.batch.count == 0) {  // the second keeper asks, too
    other.done(got);
    got = other.batch();
  }
  CHECK_EQ(read_request(got, 0), "request\n");
}

TEST("a keeper that follows a killed one asks the children, and uses those that answer") {
  Harness harness(2);
  Process first = harness.start();
  FakeChild child = harness.child(0);
  first.signal(SIGKILL);
  first.wait();
  const Process second = harness.start();
  const Got asked = child.batch();
  CHECK_EQ(asked.batch.count, 0);
  child.done(asked);
  TestClient client(harness.port());
  CHECK_EQ(client.line(), hello_of(second));
  client.send("request\n");
  CHECK_EQ(child.batch().batch.count, 1);
}

}  // namespace
}  // namespace kilofork
