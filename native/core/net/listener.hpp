// The listening socket, and the options that accepted sockets inherit from it. Created by the
// front; supervisor, forker and children inherit the descriptor. socket(7), tcp(7), ip(7).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "net/endpoint.hpp"

namespace kilofork {

struct Listener {
  Fd fd;
  std::uint16_t port;  // as bound
};

struct ListenOptions {
  Endpoint endpoint;  // port 0: the kernel chooses a free one
  int backlog;
  Nanoseconds write_timeout;  // of each send() to a client; 0: none
};

// Accepted sockets inherit TCP_NODELAY, keepalive (tcp(7)) and the send timeout, which saves system
// calls per connection. Throws SystemError.
Listener listen_on(const ListenOptions& options);

// The number of established connections in the accept queue; 0 if `listener` is no TCP socket.
std::size_t count_waiting(int listener);

// SO_RCVTIMEO and SO_SNDTIMEO of socket(7); 0: none.
void set_receive_timeout(int fd, Nanoseconds timeout);
void set_send_timeout(int fd, Nanoseconds timeout);

}  // namespace kilofork
