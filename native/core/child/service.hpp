// What a child does for its clients, as data. The front decides it, the supervisor parses it
// (supervisor/settings.cpp), children carry it out. No value has a default here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/clock.hpp"
#include "base/protocol.hpp"
#include "keeper/batch.hpp"

namespace kilofork {

struct Work {
  enum class Kind : std::uint8_t {
    none,
    sleep,  // for `duration`
    spin,   // uses `duration` of CPU time
  };
  Kind kind;
  Nanoseconds duration;
};

struct Service {
  Work work;
  bool per_request;  // a process for each request, by way of the keeper; else for each connection
  bool synced;       // reply only when the completed record is on disk, or copied from the spool
  std::size_t max_line;               // bytes, newline included
  Nanoseconds idle_timeout;           // for the first byte of a request; 0: none
  Nanoseconds read_timeout;           // from the first byte of a request to its newline; 0: none
  Nanoseconds write_timeout;          // for a whole reply; 0: none
  Nanoseconds linger_timeout;         // for a refused client to read the reason
  Nanoseconds work_timeout;           // for the work of a request; 0: none
  std::uint64_t max_per_address;      // maximum number of connections; 0: no limit
  std::uint64_t max_requests;         // requests after which a child is recycled; 0: no limit
  std::uint64_t max_requests_jitter;  // upper bound of a random number that is added
  Template greeting;                  // of {pid}
  Template reply;                     // of {pid}, {user} and {message}
  std::array<std::string, kRefusals> refusals;  // by Refusal; newline included

  // How many connections a child has at a time, and requests that it answers for each, with a
  // process for each request. One, if a request keeps the others waiting.
  [[nodiscard]] std::size_t most_at_a_time() const {
    return work.kind == Work::Kind::none && !synced ? kMostInBatch : 1;
  }
};

}  // namespace kilofork
