// The socket calls of a client.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.hpp"

namespace kilofork {

struct Received {
  ssize_t bytes;
  std::optional<Nanoseconds> arrived;  // realtime clock
};

Received receive(int fd, std::vector<char>& into);
int pending_error(int fd);
std::uint32_t retransmits(int fd);

}  // namespace kilofork
