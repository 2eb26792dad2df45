// The system calls of a client's socket. No call blocks. connect(2), recvmsg(2), send(2), tcp(7).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "net/endpoint.hpp"

namespace kilofork {

// Without a descriptor on failure; errno has the reason.
Fd open_socket(const Endpoint& server);

// Starts to connect, from `from` if it is given. Returns 0, or an errno value.
int connect_socket(int fd, const Endpoint& server, const std::optional<Endpoint>& from);

struct Received {
  ssize_t bytes;                       // as of recvmsg(): 0 at end of file, -1 with errno
  std::optional<Nanoseconds> arrived;  // when the kernel got the last of them, realtime clock
};
// Fills `into` from its start.
Received receive(int fd, std::vector<char>& into);

// Returns how many bytes the kernel took, maybe 0, or -1; errno has the reason.
ssize_t send_some(int fd, std::string_view bytes);

// Returns and clears the error of a socket, as an errno value; 0: none.
int pending_error(int fd);

// How often TCP has sent a segment again.
std::uint32_t retransmits(int fd);

}  // namespace kilofork
