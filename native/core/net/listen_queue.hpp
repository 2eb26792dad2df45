// The queue of connections that wait for accept(2), as the kernel has it. Any process may ask: it
// needs neither the listening socket nor its server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace kilofork {

struct ListenQueue {
  std::uint32_t waiting = 0;  // established, not yet accepted
  std::uint32_t limit = 0;    // the backlog
  std::uint32_t dropped = 0;  // handshakes that found it full, since the socket listens
};

// Of the socket that listens on just this address. Nothing: there is none in the network namespace
// of this process. sock_diag(7), netlink(7). Throws SystemError.
std::optional<ListenQueue> find_listen_queue(const std::string& address, std::uint16_t port);

}  // namespace kilofork
