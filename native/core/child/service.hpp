// What a child does for a client, as data: the front sets it, the supervisor and its children only
// carry it out. No value has a default here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "base/protocol.hpp"

namespace kilofork {

struct Work {
  enum class Kind : std::uint8_t {
    none,
    sleep,  // so much time
    spin,   // so much CPU time
  };
  Kind kind;
  Nanoseconds duration;
};

struct Service {
  Work work;
  bool synced;                        // acknowledge only what is on disk
  std::size_t max_line;               // bytes, newline included
  Nanoseconds idle_timeout;           // for the first byte of a request; 0: none
  Nanoseconds read_timeout;           // from the first byte of a request to its newline; 0: none
  Nanoseconds write_timeout;          // for a whole reply; 0: none
  Nanoseconds linger_timeout;         // for a refused client to read why
  Nanoseconds work_timeout;           // for the work of a request; 0: none
  std::uint64_t max_per_address;      // connections; 0: no limit
  std::uint64_t max_requests;         // of one child; 0: no limit
  std::uint64_t max_requests_jitter;  // each child may have up to so many more
  Template greeting;                  // of {pid}
  Template reply;                     // of {pid}, {user} and {message}
  std::array<std::string, kRefusals> refusals;  // the lines, newline included
};

}  // namespace kilofork
