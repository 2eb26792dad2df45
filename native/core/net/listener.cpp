#include "net/listener.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <string>

#include "base/error.hpp"

namespace kilofork {

namespace {

// A peer that has gone without a word, by a crash or a cut line, is noticed within two minutes.
void keep_alive(int fd) {
  constexpr int kOn = 1;
  constexpr int kIdleSeconds = 60;
  constexpr int kSecondsBetweenProbes = 10;
  constexpr int kProbes = 6;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof kIdleSeconds);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kSecondsBetweenProbes,
               sizeof kSecondsBetweenProbes);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
}

void set_timeout(int fd, int option, Nanoseconds timeout) {
  const timeval value = to_timeval(timeout);
  ::setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
}

}  // namespace

Listener listen_on(const ListenOptions& options) {
  const Endpoint& endpoint = options.endpoint;
  const std::string where = endpoint.address_text() + ":" + std::to_string(endpoint.port());
  Fd fd(::socket(endpoint.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) fail("socket for " + where);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  keep_alive(fd.get());
  set_send_timeout(fd.get(), options.write_timeout);
  if (::bind(fd.get(), endpoint.get(), endpoint.length()) != 0) fail("bind " + where);
  if (::listen(fd.get(), options.backlog) != 0) fail("listen on " + where);
  const std::uint16_t port = Endpoint::of_socket(fd.get()).port();
  return {.fd = std::move(fd), .port = port};
}

// For a listening socket, tcpi_unacked is the length of the accept queue. Source: tcp_get_info() in
// net/ipv4/tcp.c.
std::size_t count_waiting(int listener) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  return info.tcpi_unacked;
}

void set_receive_timeout(int fd, Nanoseconds timeout) {
  set_timeout(fd, SO_RCVTIMEO, timeout);
}

void set_send_timeout(int fd, Nanoseconds timeout) {
  set_timeout(fd, SO_SNDTIMEO, timeout);
}

}  // namespace kilofork
