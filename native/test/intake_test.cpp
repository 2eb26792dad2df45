// How a child gets its clients when accept() fails, when one address comes too often, and how long
// a client can hold it.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <netinet/tcp.h>

#include "check.hpp"
#include "child_harness.hpp"
#include "client.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::exited;
using check::greeting_of;
using check::holds_in_time;
using check::make_service;
using check::Process;
using check::TestClient;

void set_descriptor_limit(pid_t pid, rlim_t limit) {
  const rlimit files{.rlim_cur = limit, .rlim_max = 1000};
  CHECK_EQ(::prlimit(pid, RLIMIT_NOFILE, &files, nullptr), 0);
}

// accept4(2) has its descriptor before it waits: the limit is met after one more client.
void run_out_of_descriptors(const ChildHarness& harness, const Process& child) {
  set_descriptor_limit(child.pid(), 0);
  TestClient last(harness.port());
  CHECK_EQ(last.line(), greeting_of(child));
  last.close();
  CHECK(holds_in_time([&] { return harness.board.header().accept_error == EMFILE; }));
}

TEST("a child that is out of descriptors tells it once, tries again, and serves when it can") {
  ChildHarness harness;
  Process child = harness.fork_child([] { set_descriptor_limit(0, 1000); });
  run_out_of_descriptors(harness, child);
  TestClient client(harness.port());
  std::uint64_t wakeups = 0;
  CHECK(::read(harness.wakeup.get(), &wakeups, sizeof wakeups) > 0);
  ::usleep(300'000);  // some more tries
  CHECK(::read(harness.wakeup.get(), &wakeups, sizeof wakeups) < 0);
  CHECK(!child.has_ended());
  set_descriptor_limit(child.pid(), 1000);
  CHECK_EQ(client.line(), greeting_of(child));
  CHECK(holds_in_time([&] { return harness.board.header().accept_error == 0; }));
}

TEST("a child that cannot accept leaves at once when it is told to") {
  for (const int order : {SIGTERM, SIGUSR2, SIGQUIT}) {
    ChildHarness harness;
    Process child = harness.fork_child([] { set_descriptor_limit(0, 1000); });
    run_out_of_descriptors(harness, child);
    child.signal(order);
    CHECK(exited(child.wait(), kExitOrdered));
  }
}

TEST("without a listener a child is sick") {
  ChildHarness harness;
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ::dup2(file.get(), harness.listener.fd.get());
  Process child = harness.fork_child();
  CHECK(exited(child.wait(), kExitSick));
}

TEST("refusals of one address do not occupy a child, though its clients stay") {
  constexpr int kClients = 200;
  Service service = make_service();
  service.max_per_address = 1;
  ChildHarness harness(service, check::file("log"), 2);
  harness.board.peers()[1].set(Endpoint("127.0.0.1", 0).address_words());  // of another child
  const Process child = harness.fork_child();
  const Nanoseconds began = monotonic_now();
  std::vector<TestClient> clients;
  for (int i = 0; i < kClients; i++) {
    clients.emplace_back(harness.port());
    CHECK_EQ(clients.back().line(), "error busy: too many of you");
  }
  // Each refusal that waited for its client took 20 ms.
  CHECK(monotonic_now() - began < kClients * 10 * kMillisecond);
  CHECK_EQ(harness.refused(Refusal::busy), kClients);
}

TEST("a client that sends before it is refused can read why") {
  Service service = make_service();
  service.max_per_address = 1;
  ChildHarness harness(service, check::file("log"), 2);
  harness.board.peers()[1].set(Endpoint("127.0.0.1", 0).address_words());
  const Process child = harness.fork_child();
  for (int i = 0; i < 50; i++) {
    TestClient client(harness.port());
    ::send(client.fd(), "arijort:early\n", 14, MSG_NOSIGNAL);
    CHECK_EQ(client.line(), "error busy: too many of you");
  }
}

TEST("signals do not start the idle timeout again") {
  Service service = make_service();
  service.idle_timeout = 300 * kMillisecond;
  ChildHarness harness(service);
  Process child = harness.fork_child();
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  int signals = 0;
  for (; signals < 100 && client.is_silent(); signals++) {
    child.signal(SIGUSR1);
    ::usleep(100'000);
  }
  CHECK(signals < 100);
  CHECK_EQ(client.line(), "error timeout: too slow");
}

// A reply that fits into no buffer: the kernel takes a part of it, and then no more.
TEST("a client that reads nothing holds its child for one write timeout, not two") {
  Service service = make_service();
  service.write_timeout = 2 * kSecond;
  service.max_line = 65'536;
  ChildHarness harness(service);
  const int small = 4096;
  ::setsockopt(harness.listener.fd.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  const Process child = harness.fork_child();
  TestClient client(harness.port(), small);
  CHECK_EQ(client.line(), greeting_of(child));
  client.send("arijort:" + std::string(60'000, 'x') + "\n");
  CHECK(harness.reaches(State::replying));
  const Nanoseconds began = monotonic_now();
  CHECK(harness.reaches(State::idle));
  CHECK(monotonic_now() - began < service.write_timeout + kSecond);
}

TEST("accepted connections find out that their peer has gone") {
  ChildHarness harness;
  TestClient client(harness.port());
  const Fd accepted = harness.accept_left_over();
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    CHECK_EQ(::getsockopt(accepted.get(), level, name, &value, &length), 0);
    return value;
  };
  CHECK_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
  const int seconds = option(IPPROTO_TCP, TCP_KEEPIDLE) +
                      option(IPPROTO_TCP, TCP_KEEPINTVL) * option(IPPROTO_TCP, TCP_KEEPCNT);
  CHECK_EQ(seconds, 120);
}

}  // namespace
}  // namespace kilofork
