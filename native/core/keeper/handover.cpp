#include "keeper/handover.hpp"

#include <sys/socket.h>

#include <cstring>

#include "process/fd_passing.hpp"

namespace kilofork {

Takeover::Takeover(int socket, std::size_t longest_held)
    : socket_(socket), bytes_(sizeof(HandedConnection) + longest_held) {}

bool hand_over(int socket, const HandedChild& child) {
  return ::send(socket, &child, sizeof child, MSG_NOSIGNAL) == sizeof child;
}

bool hand_over(int socket, const HandedConnection& connection, std::span<const char> held) {
  const std::array<iovec, 2> parts{
      {{.iov_base = const_cast<HandedConnection*>(&connection), .iov_len = sizeof connection},
       {.iov_base = const_cast<char*>(held.data()), .iov_len = held.size()}}};
  return send_with_fds(socket, parts, {&connection.fd, 1}, 0) >= 0;
}

// The size tells a child from a connection.
bool Takeover::receive() {
  static_assert(sizeof(HandedChild) < sizeof(HandedConnection));
  const iovec part{.iov_base = bytes_.data(), .iov_len = bytes_.size()};
  std::array<int, kMostPassed> fds{};
  std::size_t count = 0;
  child_.reset();
  connection_.reset();
  const ssize_t got = receive_with_fds(socket_, {&part, 1}, fds, count, 0);
  if (got == sizeof(HandedChild) && count == 0) {
    std::memcpy(&child_.emplace(), bytes_.data(), sizeof(HandedChild));
    return true;
  }
  if (got < static_cast<ssize_t>(sizeof(HandedConnection)) || count != 1) return false;
  std::memcpy(&connection_.emplace(), bytes_.data(), sizeof(HandedConnection));
  connection_->fd = fds[0];
  held_ = std::span<const char>(bytes_)
              .first(static_cast<std::size_t>(got))
              .subspan(sizeof(HandedConnection));
  return true;
}

}  // namespace kilofork
