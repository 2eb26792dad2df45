// A blocking client for tests of servers. A wait of more than kPatience fails the test.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "check.hpp"
#include "net/endpoint.hpp"
#include "net/listener.hpp"

namespace kilofork::check {

constexpr Nanoseconds kPatience = 10 * kSecond;

class TestClient {
 public:
  explicit TestClient(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Endpoint address("127.0.0.1", port);
    if (receive_buffer > 0)
      ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    set_receive_timeout(fd(), kPatience);
    set_send_timeout(fd(), kPatience);
    CHECK_EQ(::connect(fd(), address.get(), address.length()), 0);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }

  void send(std::string_view bytes) {
    CHECK_EQ(::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL), bytes.size());
  }
  void end_sending() { CHECK(::shutdown(fd(), SHUT_WR) == 0 || errno == ENOTCONN); }
  void close() { fd_.reset(); }
  // Resets the connection.
  void abort() {
    const linger none{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close();
  }

  // The next line, without its newline. An end of file before the newline fails the test.
  std::string line() {
    std::size_t newline = 0;
    while ((newline = held_.find('\n')) == std::string::npos) CHECK(receive(0) > 0);
    const std::string line = held_.substr(0, newline);
    held_.erase(0, newline + 1);
    return line;
  }
  // All bytes up to the end of file or the reset.
  std::string rest() {
    while (receive(0) > 0) continue;
    return std::exchange(held_, {});
  }
  // Whether the server has ended the connection. Does not wait, and keeps bytes for line() and
  // rest().
  bool has_ended() {
    ssize_t got = 0;
    while ((got = receive(MSG_DONTWAIT)) > 0) continue;
    return got == 0 || errno == ECONNRESET;
  }
  // Whether no byte and no end of file has come.
  bool is_silent() {
    char byte = 0;
    return held_.empty() && ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }

 private:
  ssize_t receive(int flags) {
    std::array<char, 4096> bytes{};
    const ssize_t got = ::recv(fd(), bytes.data(), bytes.size(), flags);
    CHECK(got >= 0 || errno == ECONNRESET || (errno == EAGAIN && flags != 0));
    if (got > 0) held_.append(bytes.data(), static_cast<std::size_t>(got));
    return got;
  }

  Fd fd_;
  std::string held_;
};

}  // namespace kilofork::check
