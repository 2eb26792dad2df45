// Where a socket is bound or connected: an address of a family, with its port where the family has
// one. Runs in front, child and client. Names are resolved in TypeScript, because glibc's name
// service does not work in a static executable. sockaddr(3type), ip(7), ipv6(7).
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace kilofork {

class Endpoint {
 public:
  // Of no family, to be filled in by accept().
  Endpoint() = default;
  // `address` is numeric, IPv4 or IPv6, the latter perhaps with its interface: fe80::1%eth0. Throws
  // SystemError: EINVAL for anything else, ENODEV if there is no such interface.
  Endpoint(const std::string& address, std::uint16_t port);
  // Where the socket is bound: getsockname(2). Throws SystemError.
  static Endpoint of_socket(int fd);
  // accept4(2) with SOCK_CLOEXEC; `peer` becomes the endpoint of the client.
  static int accept(int listener, Endpoint& peer);

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] socklen_t length() const { return length_; }
  [[nodiscard]] int family() const { return storage_.ss_family; }
  // 0 if the family has no ports.
  [[nodiscard]] std::uint16_t port() const;
  // The address without its port: its bytes in network order, and as numeric text.
  [[nodiscard]] std::span<const std::byte> address() const;
  [[nodiscard]] std::string address_text() const;
  // The address in 128 bits, IPv4 as ::ffff:a.b.c.d (RFC 4291). Without its port; zero if the
  // family has none.
  [[nodiscard]] std::array<std::uint64_t, 2> address_words() const;

 private:
  sockaddr* fill() { return reinterpret_cast<sockaddr*>(&storage_); }

  sockaddr_storage storage_{};
  socklen_t length_ = sizeof storage_;
};

}  // namespace kilofork
