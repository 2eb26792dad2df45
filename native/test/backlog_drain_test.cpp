#include "supervisor/backlog_drain.hpp"

#include <fcntl.h>
#include <poll.h>

#include <deque>

#include "check.hpp"
#include "client.hpp"
#include "net/listener.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::holds_in_time;
using check::TestClient;

constexpr const char* kLine = "error shutting-down: the server is being stopped";

// A server of which only the accept queue is left.
struct Stopping {
  explicit Stopping(Nanoseconds linger) : linger_time(linger) {}
  // A loopback connection is in the queue before connect() returns.
  TestClient& client() { return clients.emplace_back(listener.port); }

  Nanoseconds linger_time;
  Listener listener = listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 64, .write_timeout = 0});
  std::deque<TestClient> clients;
  BacklogDrain drain{listener.fd.get(), std::string(kLine) + "\n", linger_time};
};

TEST("until it begins, no client is refused and nothing is polled") {
  Stopping server(kSecond);
  TestClient& client = server.client();
  server.drain.run();
  std::vector<pollfd> polled;
  server.drain.add_to(polled);
  CHECK(polled.empty());
  CHECK(!server.drain.lingers());
  CHECK(client.is_silent());
}

TEST("every client in the queue gets the refusal, and is closed once it has left") {
  Stopping server(check::kPatience);
  for (int i = 0; i < 20; i++) server.client();
  server.drain.begin();
  server.drain.run();
  CHECK(server.drain.lingers());
  for (TestClient& client : server.clients) {
    CHECK_EQ(client.rest(), std::string(kLine) + "\n");
    client.close();
  }
  CHECK(holds_in_time([&] {
    server.drain.run();
    return !server.drain.lingers();
  }));
}

TEST("a client that has sent a request can still read the refusal") {
  Stopping server(check::kPatience);
  TestClient& client = server.client();
  client.send(std::string(50'000, 'x'));
  server.drain.begin();
  server.drain.run();
  ::usleep(5'000);
  server.drain.run();
  CHECK_EQ(client.rest(), std::string(kLine) + "\n");
}

TEST("a client that does not leave is closed after the linger time") {
  Stopping server(20 * kMillisecond);
  TestClient& client = server.client();
  server.drain.begin();
  CHECK(holds_in_time([&] {
    server.drain.run();
    return !server.drain.lingers();
  }));
  CHECK_EQ(client.rest(), std::string(kLine) + "\n");
}

TEST("the listener and each refused client are polled, and the listener no longer blocks") {
  Stopping server(check::kPatience);
  server.client();
  server.client();
  server.drain.begin();
  server.drain.run();
  std::vector<pollfd> polled;
  server.drain.add_to(polled);
  CHECK_EQ(polled.size(), 3);
  CHECK_EQ(polled[0].fd, server.listener.fd.get());
  CHECK((::fcntl(server.listener.fd.get(), F_GETFL) & O_NONBLOCK) != 0);
}

TEST("then no new connection is accepted, and clients that came before still get the refusal") {
  Stopping server(check::kPatience);
  TestClient& early = server.client();
  server.drain.begin();
  server.drain.stop_accepting();
  const Fd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const Endpoint address("127.0.0.1", server.listener.port);
  CHECK(::connect(late.get(), address.get(), address.length()) != 0);
  server.drain.run();
  CHECK_EQ(early.rest(), std::string(kLine) + "\n");
  pollfd connected{.fd = late.get(), .events = POLLOUT, .revents = 0};
  CHECK_EQ(::poll(&connected, 1, 50), 0);
}

}  // namespace
}  // namespace kilofork
