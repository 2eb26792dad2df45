// A child that gets its connections from a keeper; the test has the keeper's place.
#include "child/keeper_intake.hpp"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
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

using check::ChildHarness;
using check::exited;
using check::holds_in_time;
using check::Process;
using check::reply_of;
using check::TestClient;

Service service_per_request() {
  Service service = check::make_service();
  service.per_request = true;
  return service;
}

struct Got {
  Report report{};
  std::string held;
};

class KeeperHarness : public ChildHarness {
 public:
  explicit KeeperHarness(const Service& service_of_child = service_per_request())
      : ChildHarness(service_of_child) {
    std::array<int, 2> ends{};
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    end_.reset(ends[0]);
    childs_end_.reset(ends[1]);
    set_receive_timeout(end_.get(), check::kPatience);
  }
  Process start() {
    ChildContext context = make_context();
    context.listener = childs_end_.get();
    Process child([&] {
      end_.reset();
      ChildSignals signals;
      set_up_signals_of_children(signals);
      CHECK(lock_down_children({.removable = segment_path,
                                .name = name,
                                .waits_for_syncs = false,
                                .from_keeper = true,
                                .lifeline = context.lifeline,
                                .log = context.log,
                                .shared = {context.log, board.fd(), context.lifeline,
                                           context.log_broadcast, context.wakeup}}));
      run_child(context, slot(), slot().word);
    });
    childs_end_.reset();
    CHECK_EQ(report().report.done, 1);  // it waits for its first batch
    return child;
  }
  // The connection of the client that has connected last.
  [[nodiscard]] Fd accept() const {
    return Fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  void hand_out(std::span<const int> fds, std::string_view held_of_first = {}) {
    Batch batch{.ticket = ++ticket_, .count = static_cast<std::uint32_t>(fds.size()), .held = {}};
    batch.held[0] = static_cast<std::uint16_t>(held_of_first.size());
    word().set(batch.ticket, fds.size());
    const std::array<iovec, 2> parts{
        {{.iov_base = &batch, .iov_len = sizeof batch},
         {.iov_base = const_cast<char*>(held_of_first.data()), .iov_len = held_of_first.size()}}};
    CHECK(send_with_fds(end_.get(), parts, fds, 0) > 0);
  }
  Got report() {
    std::array<char, 4096> bytes{};
    const ssize_t length = ::recv(end_.get(), bytes.data(), bytes.size(), 0);
    CHECK(length >= static_cast<ssize_t>(sizeof(Report)));
    Got got;
    std::memcpy(&got.report, bytes.data(), sizeof got.report);
    got.held.assign(bytes.data() + sizeof got.report,
                    static_cast<std::size_t>(length) - sizeof got.report);
    return got;
  }
  [[nodiscard]] BatchWord word() const { return BatchWord(slot().batch); }
  [[nodiscard]] std::uint32_t ticket() const { return ticket_; }

 private:
  Fd end_;
  Fd childs_end_;
  std::uint32_t ticket_ = 0;
};

// Returns when it has come.
void send(TestClient& client, const Fd& fd, std::string_view text) {
  client.send(text);
  CHECK(holds_in_time([&] {
    int unread = 0;
    return ::ioctl(fd.get(), FIONREAD, &unread) == 0 &&
           static_cast<std::size_t>(unread) == text.size();
  }));
}

TEST("a child answers each connection of its batch, and tells once when it is done") {
  KeeperHarness harness;
  const Process child = harness.start();
  TestClient first(harness.port());
  const Fd first_fd = harness.accept();
  TestClient second(harness.port());
  const Fd second_fd = harness.accept();
  send(first, first_fd, "arijort:one\n");
  send(second, second_fd, "arijort:two\n");
  harness.hand_out(std::array{first_fd.get(), second_fd.get()});
  CHECK_EQ(first.line(), reply_of(child, "one"));
  CHECK_EQ(second.line(), reply_of(child, "two"));
  const Report report = harness.report().report;
  CHECK_EQ(report.ticket, harness.ticket());
  CHECK_EQ(report.done, 1);
  CHECK_EQ(harness.slot().total.load(), 2);
}

TEST("bytes of a line without its end go back to the keeper, and come with the next turn") {
  KeeperHarness harness;
  const Process child = harness.start();
  TestClient client(harness.port());
  const Fd fd = harness.accept();
  send(client, fd, "arijort:one\narijort:t");
  harness.hand_out(std::array{fd.get()});
  Got got = harness.report();
  CHECK_EQ(got.report.entry, 0);
  CHECK(got.report.fate == Fate::kept);
  CHECK_EQ(got.report.new_line, 1);
  CHECK_EQ(got.held, "arijort:t");
  send(client, fd, "w");
  harness.hand_out(std::array{fd.get()}, got.held);
  got = harness.report();
  CHECK_EQ(got.report.new_line, 0);  // it began earlier
  CHECK_EQ(got.held, "arijort:tw");
  send(client, fd, "o\n");
  harness.hand_out(std::array{fd.get()}, got.held);
  CHECK_EQ(harness.report().held, "");
  CHECK_EQ(client.line(), reply_of(child, "one"));
  CHECK_EQ(client.line(), reply_of(child, "two"));
}

TEST("a connection that was taken back is not touched, and the child closes its copy") {
  KeeperHarness harness;
  Process child = harness.start();
  TestClient client(harness.port());
  Fd fd = harness.accept();
  send(client, fd, "arijort:one\n");
  child.signal(SIGSTOP);
  CHECK_EQ(::waitpid(child.pid(), nullptr, WUNTRACED), child.pid());
  harness.hand_out(std::array{fd.get()});
  CHECK_EQ(harness.word().take_back(), 0);
  child.signal(SIGCONT);
  CHECK_EQ(harness.report().report.done, 1);
  std::array<char, 100> bytes{};
  CHECK_EQ(::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT), 12);
  fd.reset();
  CHECK_EQ(client.rest(), "");  // no other copy is left
}

TEST("a child that retires serves what it has begun, and gives the rest back") {
  Service service = service_per_request();
  service.work = {.kind = Work::Kind::sleep, .duration = 100 * kMillisecond};
  KeeperHarness harness(service);
  Process child = harness.start();
  TestClient first(harness.port());
  const Fd first_fd = harness.accept();
  TestClient second(harness.port());
  const Fd second_fd = harness.accept();
  send(first, first_fd, "arijort:one\n");
  send(second, second_fd, "arijort:two\n");
  harness.hand_out(std::array{first_fd.get(), second_fd.get()});
  CHECK(harness.reaches(State::working));
  child.signal(SIGTERM);
  CHECK_EQ(first.line(), reply_of(child, "one"));
  CHECK_EQ(harness.report().report.done, 1);
  CHECK(exited(child.wait(), kExitOrdered));
  CHECK_EQ(harness.word().take_back(), 1);
}

TEST("a client that is refused gets its line at once; the keeper waits until it has read it") {
  KeeperHarness harness;
  const Process child = harness.start();
  TestClient client(harness.port());
  const Fd fd = harness.accept();
  send(client, fd, "root:one\n");
  harness.hand_out(std::array{fd.get()});
  CHECK(harness.report().report.fate == Fate::leaving);
  CHECK_EQ(client.line(), "error unauthorized: not a user");
}

TEST("an empty batch is answered") {
  KeeperHarness harness;
  const Process child = harness.start();
  harness.hand_out({});
  const Report report = harness.report().report;
  CHECK_EQ(report.ticket, harness.ticket());
  CHECK_EQ(report.done, 1);
}

}  // namespace
}  // namespace kilofork
