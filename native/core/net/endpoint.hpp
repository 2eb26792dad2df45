// A numeric IPv4 or IPv6 address with its port. Names are resolved in TypeScript: glibc's name
// service does not belong in a static binary.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "base/error.hpp"

namespace kilofork {

class SocketAddress {
 public:
  SocketAddress(const std::string& address, std::uint16_t port) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage_);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage_);
    if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
    } else if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
    } else {
      throw SystemError("not a numeric address: " + address, EINVAL);
    }
  }
  static SocketAddress of_socket(int fd) {
    SocketAddress address;
    socklen_t length = sizeof address.storage_;
    if (::getsockname(fd, address.get(), &length) != 0) fail("getsockname");
    return address;
  }

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage_); }
  [[nodiscard]] int family() const { return storage_.ss_family; }
  [[nodiscard]] socklen_t length() const {
    return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  }
  // sin_port and sin6_port lie at the same place.
  [[nodiscard]] std::uint16_t port() const {
    return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  }

 private:
  SocketAddress() = default;
  sockaddr_storage storage_{};
};

}  // namespace kilofork
