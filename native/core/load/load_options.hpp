// The options of a load engine. TypeScript validates them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/protocol.hpp"
#include "net/endpoint.hpp"

namespace kilofork {

struct LoadOptions {
  std::vector<Endpoint> servers;  // tried in turn until one answers
  std::optional<Endpoint> from;   // the clients' own address, port 0; empty: the kernel chooses
  std::uint32_t clients;
  std::uint32_t first_number;   // of this engine's first client
  std::uint64_t requests;       // of each client; 0: no limit but the duration
  Nanoseconds duration;         // after which no request is sent; 0: no limit
  Nanoseconds ramp_step;        // between the first connects of two clients; 0: all at once
  std::uint32_t window;         // maximum number of clients that wait for a greeting; 0: all
  Nanoseconds interval;         // open loop: between two intended sends; 0: closed loop
  Nanoseconds connect_timeout;  // until the greeting is complete
  Nanoseconds reply_timeout;
  bool barrier;         // greeted clients wait for LoadEngine::release()
  bool reconnect;       // each request has a connection of its own
  bool pid_by_reply;    // each reply has a pid of its own; else it has that of the greeting
  Template greeting;    // of {pid}
  Template request;     // of {n}
  Template reply;       // of {pid} and {n}
  std::string refusal;  // how the line begins that a refused client gets
};

}  // namespace kilofork
