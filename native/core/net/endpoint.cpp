#include "net/endpoint.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstddef>

#include "base/error.hpp"

namespace kilofork {

namespace {

// The interface of a link-local address: the number or name behind its `%`; 0 if there is none.
std::uint32_t scope_of(const std::string& scope) {
  std::uint32_t number = 0;
  const char* const end = scope.data() + scope.size();
  const auto [rest, error] = std::from_chars(scope.data(), end, number);
  return error == std::errc{} && rest == end ? number : ::if_nametoindex(scope.c_str());
}

}  // namespace

Endpoint::Endpoint(const std::string& address, std::uint16_t port) {
  const std::size_t percent = std::min(address.find('%'), address.size());
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage_);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage_);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    length_ = sizeof *v4;
  } else if (::inet_pton(AF_INET6, address.substr(0, percent).c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    if (percent < address.size()) {
      v6->sin6_scope_id = scope_of(address.substr(percent + 1));
      if (v6->sin6_scope_id == 0) throw SystemError("no such interface: " + address, ENODEV);
    }
    length_ = sizeof *v6;
  } else {
    throw SystemError("not a numeric address: " + address, EINVAL);
  }
}

Endpoint Endpoint::of_socket(int fd) {
  Endpoint endpoint;
  if (::getsockname(fd, endpoint.fill(), &endpoint.length_) != 0) fail("getsockname");
  return endpoint;
}

int Endpoint::accept(int listener, Endpoint& peer) {
  peer.length_ = sizeof peer.storage_;
  return ::accept4(listener, peer.fill(), &peer.length_, SOCK_CLOEXEC);
}

std::uint16_t Endpoint::port() const {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(storage_).sin6_port);
  return 0;
}

std::span<const std::byte> Endpoint::address() const {
  if (family() == AF_INET)
    return std::as_bytes(std::span(&reinterpret_cast<const sockaddr_in&>(storage_).sin_addr, 1));
  if (family() == AF_INET6)
    return std::as_bytes(std::span(&reinterpret_cast<const sockaddr_in6&>(storage_).sin6_addr, 1));
  return {};
}

std::string Endpoint::address_text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family(), address().data(), text.data(), text.size());
  return text.data();
}

std::array<std::uint64_t, 2> Endpoint::address_words() const {
  std::array<std::byte, 16> bytes{};
  const std::span<const std::byte> own = address();
  if (own.size() == sizeof(in_addr)) bytes[10] = bytes[11] = std::byte{0xff};
  std::copy(own.begin(), own.end(), bytes.end() - static_cast<std::ptrdiff_t>(own.size()));
  return std::bit_cast<std::array<std::uint64_t, 2>>(bytes);
}

}  // namespace kilofork
