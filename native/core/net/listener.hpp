// The listening socket, and what its clients' sockets inherit from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace kilofork {

struct Listener {
  Fd fd;
  std::uint16_t port;  // as bound
};

struct ListenOptions {
  std::string address;  // numeric, IPv4 or IPv6
  std::uint16_t port;   // 0: any free one
  int backlog;
  Nanoseconds write_timeout;  // of each send() to a client; 0: none
};

// socket(7), tcp(7). The accepted sockets inherit TCP_NODELAY and the time-out for sending, which
// saves each connection two system calls. Throws SystemError.
Listener listen_on(const ListenOptions& options);

// Connections that are established and wait to be accepted.
std::size_t count_waiting(int listener);

void set_receive_timeout(int fd, Nanoseconds timeout);
void set_send_timeout(int fd, Nanoseconds timeout);

}  // namespace kilofork
