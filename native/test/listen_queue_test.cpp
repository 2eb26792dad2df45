#include "net/listen_queue.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "base/error.hpp"
#include "check.hpp"
#include "client.hpp"
#include "net/endpoint.hpp"
#include "net/listener.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::holds_in_time;
using check::TestClient;

Listener listen_with(int backlog, const char* address = "127.0.0.1") {
  return listen_on({.endpoint = {address, 0}, .backlog = backlog, .write_timeout = 0});
}

ListenQueue queue_of(const Listener& listener, const char* address = "127.0.0.1") {
  const auto queue = find_listen_queue({address, listener.port});
  CHECK(queue.has_value());
  return *queue;
}

// Does not wait until the connection is established.
Fd begin_to_connect(const char* host, std::uint16_t port) {
  const Endpoint address(host, port);
  Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  CHECK(::connect(fd.get(), address.get(), address.length()) == 0 || errno == EINPROGRESS);
  return fd;
}

TEST("connections that are not accepted are waiting, and the backlog is the limit") {
  const Listener listener = listen_with(64);
  CHECK_EQ(queue_of(listener).waiting, 0);
  std::vector<TestClient> clients;
  for (int i = 0; i < 37; i++) clients.emplace_back(listener.port);
  CHECK_EQ(queue_of(listener).waiting, 37);
  CHECK_EQ(queue_of(listener).limit, 64);
  CHECK_EQ(queue_of(listener).dropped, 0);
  const Fd accepted(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK_EQ(queue_of(listener).waiting, 36);
}

TEST("a handshake that finds the queue full counts as dropped") {
  const Listener full = listen_with(1);
  const Listener other = listen_with(1);
  std::vector<Fd> clients;
  for (int i = 0; i < 8; i++) clients.push_back(begin_to_connect("127.0.0.1", full.port));
  CHECK(holds_in_time([&] { return queue_of(full).dropped > 0; }));
  CHECK_EQ(queue_of(full).limit, 1);
  CHECK_EQ(queue_of(full).waiting, 2);  // the kernel takes one more than the backlog says
  CHECK_EQ(queue_of(other).dropped, 0);
}

TEST("a port without a listener has no queue, nor has another address of the same port") {
  Listener listener = listen_with(8);
  CHECK(!find_listen_queue({"127.0.0.2", listener.port}));
  CHECK(!find_listen_queue({"0.0.0.0", listener.port}));
  CHECK(!find_listen_queue({"::1", listener.port}));
  listener.fd.reset();
  CHECK(!find_listen_queue({"127.0.0.1", listener.port}));
}

TEST("two listeners on the same port have a queue each") {
  const Listener first = listen_with(8);
  const Listener second =
      listen_on({.endpoint = {"127.0.0.2", first.port}, .backlog = 9, .write_timeout = 0});
  const TestClient client(first.port);
  CHECK_EQ(queue_of(first).waiting, 1);
  CHECK_EQ(queue_of(second, "127.0.0.2").waiting, 0);
  CHECK_EQ(queue_of(second, "127.0.0.2").limit, 9);
}

TEST("IPv6 has queues too, if the machine has it") {
  Listener listener;
  try {
    listener = listen_with(8, "::1");
  } catch (const SystemError& error) {
    CHECK(error.code == EADDRNOTAVAIL || error.code == EAFNOSUPPORT);
    return;
  }
  const Fd client = begin_to_connect("::1", listener.port);
  CHECK(holds_in_time([&] { return queue_of(listener, "::1").waiting == 1; }));
  CHECK_EQ(queue_of(listener, "::1").limit, 8);
  CHECK(!find_listen_queue({"::", listener.port}));
}

TEST("a name instead of a numeric address is refused") {
  int code = 0;
  try {
    (void)find_listen_queue({"localhost", 80});
  } catch (const SystemError& error) {
    code = error.code;
  }
  CHECK_EQ(code, EINVAL);
}

}  // namespace
}  // namespace kilofork
