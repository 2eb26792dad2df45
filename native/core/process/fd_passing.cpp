#include "process/fd_passing.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace kilofork {

namespace {

struct alignas(cmsghdr) ControlBuffer {
  std::array<char, CMSG_SPACE(sizeof(int) * kMostPassed)> bytes{};
};

msghdr message_of(std::span<const iovec> parts) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  return message;
}

}  // namespace

ssize_t send_with_fds(int socket, std::span<const iovec> parts, std::span<const int> passed,
                      int flags) {
  ControlBuffer control;
  msghdr message = message_of(parts);
  if (!passed.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(passed.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(passed.size_bytes());
    std::memcpy(CMSG_DATA(header), passed.data(), passed.size_bytes());
  }
  return ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

ssize_t receive_with_fds(int socket, std::span<const iovec> parts, std::span<int> passed,
                         std::size_t& count, int flags) {
  ControlBuffer control;
  msghdr message = message_of(parts);
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  count = 0;
  const ssize_t received = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t bytes = header->cmsg_len - CMSG_LEN(0);
    std::memcpy(passed.data() + count, CMSG_DATA(header), bytes);
    count += bytes / sizeof(int);
  }
  return received;
}

ssize_t send_with_fd(int socket, std::string_view bytes, int passed, int flags) {
  const iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  return send_with_fds(socket, {&part, 1}, {&passed, passed < 0 ? 0U : 1U}, flags);
}

ssize_t receive_with_fd(int socket, std::span<char> bytes, Fd& passed, int flags) {
  const iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  std::array<int, kMostPassed> fds{};
  std::size_t count = 0;
  const ssize_t received = receive_with_fds(socket, {&part, 1}, fds, count, flags);
  for (const int fd : std::span(fds).first(count)) passed.reset(fd);  // the last one stays
  return received;
}

}  // namespace kilofork
