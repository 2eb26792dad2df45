#include "load/client_socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace kilofork {

Fd open_socket(const Endpoint& server) {
  return Fd(::socket(server.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int connect_socket(int fd, const Endpoint& server, const std::optional<Endpoint>& from) {
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  if (from) {
    // connect() chooses the port, not bind(): it needs a port that is free for this server only.
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (::bind(fd, from->get(), from->length()) != 0) return errno;
  }
  const bool failed = ::connect(fd, server.get(), server.length()) != 0 && errno != EINPROGRESS;
  return failed ? errno : 0;
}

Received receive(int fd, std::vector<char>& into) {
  iovec part{.iov_base = into.data(), .iov_len = into.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  Received received{.bytes = ::recvmsg(fd, &message, MSG_DONTWAIT), .arrived = std::nullopt};
  if (received.bytes <= 0) return received;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_TIMESTAMPNS) {
    timespec arrived{};
    std::memcpy(&arrived, CMSG_DATA(header), sizeof arrived);
    received.arrived = to_nanoseconds(arrived);
  }
  return received;
}

ssize_t send_some(int fd, std::string_view bytes) {
  const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return sent;
}

int pending_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

std::uint32_t retransmits(int fd) {
  tcp_info info{};
  socklen_t length = sizeof info;
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 ? info.tcpi_total_retrans : 0;
}

}  // namespace kilofork
