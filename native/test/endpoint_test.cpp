#include "net/endpoint.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "check.hpp"
#include "client.hpp"
#include "net/listener.hpp"

namespace kilofork {
namespace {

TEST("numeric text becomes an endpoint of its family, with its port") {
  const Endpoint v4("127.0.0.1", 31337);
  CHECK_EQ(v4.family(), AF_INET);
  CHECK_EQ(v4.length(), sizeof(sockaddr_in));
  CHECK_EQ(v4.port(), 31337);
  CHECK_EQ(v4.address_text(), "127.0.0.1");
  const Endpoint v6("2001:db8::1", 80);
  CHECK_EQ(v6.family(), AF_INET6);
  CHECK_EQ(v6.length(), sizeof(sockaddr_in6));
  CHECK_EQ(v6.port(), 80);
  CHECK_EQ(v6.address_text(), "2001:db8::1");
}

TEST("any other text is refused") {
  for (const char* text : {"", "localhost", "127.0.0.1 ", "127.0.0", "[::1]", "1.2.3.4:5"}) {
    int code = 0;
    try {
      (void)Endpoint(text, 0);
    } catch (const SystemError& error) {
      code = error.code;
    }
    CHECK_EQ(code, EINVAL);
  }
}

TEST("an address of IPv6 may name its interface, by name or number") {
  const auto scope_of = [](const char* address) {
    return reinterpret_cast<const sockaddr_in6*>(Endpoint(address, 1).get())->sin6_scope_id;
  };
  CHECK_EQ(scope_of("fe80::1"), 0);
  CHECK_EQ(scope_of("fe80::1%7"), 7);
  CHECK_EQ(scope_of("fe80::1%lo"), ::if_nametoindex("lo"));
  for (const char* text : {"fe80::1%", "fe80::1%nosuch", "fe80::1%0", "fe80::1%7x"}) {
    int code = 0;
    try {
      (void)Endpoint(text, 0);
    } catch (const SystemError& error) {
      code = error.code;
    }
    CHECK_EQ(code, ENODEV);
  }
}

TEST("the words of an address tell addresses apart, and not ports") {
  const auto words = [](const char* address, std::uint16_t port) {
    return Endpoint(address, port).address_words();
  };
  CHECK(words("127.0.0.1", 1) == words("127.0.0.1", 2));
  CHECK(words("127.0.0.1", 1) != words("127.0.0.2", 1));
  CHECK(words("::1", 1) == words("0:0:0:0:0:0:0:1", 2));
  CHECK(words("127.0.0.1", 1) == words("::ffff:127.0.0.1", 1));  // the same host
  for (int bit = 0; bit < 128; bit++) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    std::array<std::uint8_t, 16> bytes{0x20, 0x01, 0x0d, 0xb8};
    bytes.at(static_cast<std::size_t>(bit / 8)) ^= static_cast<std::uint8_t>(1 << bit % 8);
    ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
    CHECK(words(text.data(), 1) != words("2001:db8::", 1));
  }
  CHECK(words("0.0.0.0", 1) != Endpoint().address_words());  // none
}

TEST("an endpoint of a family without ports has port 0 and no address") {
  std::array<int, 2> ends{};
  CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const Fd one(ends[0]);
  const Fd other(ends[1]);
  const Endpoint endpoint = Endpoint::of_socket(one.get());
  CHECK_EQ(endpoint.family(), AF_UNIX);
  CHECK_EQ(endpoint.port(), 0);
  CHECK_EQ(endpoint.address().size(), 0);
  CHECK_EQ(endpoint.address_text(), "");
}

TEST("an accepted connection comes with the endpoint of its client") {
  const Listener listener =
      listen_on({.endpoint = {"127.0.0.1", 0}, .backlog = 8, .write_timeout = 0});
  CHECK_EQ(Endpoint::of_socket(listener.fd.get()).port(), listener.port);
  const check::TestClient client(listener.port);
  Endpoint peer;
  const Fd accepted(Endpoint::accept(listener.fd.get(), peer));
  CHECK(accepted.get() >= 0);
  CHECK_EQ(peer.family(), AF_INET);
  CHECK_EQ(peer.address_text(), "127.0.0.1");
  CHECK_EQ(peer.port(), Endpoint::of_socket(client.fd()).port());
}

}  // namespace
}  // namespace kilofork
