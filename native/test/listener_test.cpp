#include "net/listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <vector>

#include "base/error.hpp"
#include "check.hpp"
#include "client.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::TestClient;

Nanoseconds timeout_of(int fd, int option) {
  timeval value{};
  socklen_t length = sizeof value;
  CHECK_EQ(::getsockopt(fd, SOL_SOCKET, option, &value, &length), 0);
  return value.tv_sec * kSecond + value.tv_usec * kMicrosecond;
}

int listen_error(const std::string& address, std::uint16_t port) {
  try {
    (void)listen_on({.endpoint = {address, port}, .backlog = 1, .write_timeout = 0});
  } catch (const SystemError& error) {
    return error.code;
  }
  return 0;
}

TEST("port 0 is any free port, and the result has the one that was bound") {
  const Listener listener =
      listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 8, .write_timeout = 0});
  CHECK(listener.port > 0);
  const TestClient client(listener.port);
}

TEST("accepted sockets inherit the send timeout and TCP_NODELAY") {
  const Listener listener =
      listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 8, .write_timeout = 5 * kSecond});
  const TestClient client(listener.port);
  const Fd accepted(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK_EQ(timeout_of(accepted.get(), SO_SNDTIMEO), 5 * kSecond);
  int no_delay = 0;
  socklen_t length = sizeof no_delay;
  CHECK_EQ(::getsockopt(accepted.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &length), 0);
  CHECK_EQ(no_delay, 1);
}

TEST("connections in the accept queue are counted, also if they have sent or ended") {
  const Listener listener =
      listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 64, .write_timeout = 0});
  const int fd = listener.fd.get();
  CHECK_EQ(count_waiting(fd), 0);
  std::vector<TestClient> clients;
  for (std::size_t i = 1; i <= 40; i++) {
    clients.emplace_back(listener.port);
    CHECK(check::holds_in_time([&] { return count_waiting(fd) == i; }));
  }
  clients[0].send("arijort:lalala\n");
  clients[1].end_sending();
  CHECK_EQ(count_waiting(fd), 40);
  std::vector<Fd> accepted;
  for (std::size_t left = 40; left-- > 0;) {
    accepted.emplace_back(::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
    CHECK_EQ(count_waiting(fd), left);
  }
}

TEST("a descriptor that is no socket has no accept queue") {
  CHECK_EQ(count_waiting(-1), 0);
  CHECK_EQ(count_waiting(STDIN_FILENO), 0);
}

TEST("IPv6 works if the machine has it") {
  const int error = listen_error("::1", 0);
  CHECK(error == 0 || error == EADDRNOTAVAIL || error == EAFNOSUPPORT);
}

TEST("a port that is taken, and a text that is no numeric address, have their errors") {
  const Listener listener =
      listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 8, .write_timeout = 0});
  CHECK_EQ(listen_error("127.0.0.1", listener.port), EADDRINUSE);
  for (const char* address : {"", "localhost", "127.0.0.1 ", "127.0.0", "[::1]"})
    CHECK_EQ(listen_error(address, 0), EINVAL);
  CHECK_EQ(listen_error("::1%", 0), ENODEV);
}

TEST("a timeout is never shorter than asked for, and never refused by the kernel") {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr Nanoseconds kTick = 10 * kMillisecond;  // the coarsest that kernels count in
  for (const Nanoseconds timeout :
       {Nanoseconds{1}, kMicrosecond, kMillisecond, kSecond - 1'001, kSecond - 1'000, kSecond - 999,
        kSecond - 1, kSecond, kSecond + 1, 5 * kSecond - 1, 3600 * kSecond - 500}) {
    set_receive_timeout(fd.get(), 0);
    set_send_timeout(fd.get(), 0);
    set_receive_timeout(fd.get(), timeout);
    set_send_timeout(fd.get(), timeout);
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
      CHECK(timeout_of(fd.get(), option) >= timeout);
      CHECK(timeout_of(fd.get(), option) <= timeout + kTick);
    }
  }
}

TEST("a timeout of 0 is none") {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_receive_timeout(fd.get(), kSecond);
  set_receive_timeout(fd.get(), 0);
  CHECK_EQ(timeout_of(fd.get(), SO_RCVTIMEO), 0);
}

}  // namespace
}  // namespace kilofork
