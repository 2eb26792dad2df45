// The accept queue of a listening socket, as the kernel counts it. Any process of the same network
// namespace may ask, without a descriptor of the socket. sock_diag(7), netlink(7).
#pragma once

#include <cstdint>
#include <optional>

#include "net/endpoint.hpp"

namespace kilofork {

struct ListenQueue {
  std::uint32_t waiting = 0;  // established connections that nobody has accepted
  std::uint32_t limit = 0;    // the backlog
  std::uint32_t dropped = 0;  // handshakes that found the queue full, since listen(2)
};

// The queue of the socket that listens on exactly this address and port. Empty if no socket in the
// network namespace of this process does. Throws SystemError.
std::optional<ListenQueue> find_listen_queue(const Endpoint& endpoint);

}  // namespace kilofork
