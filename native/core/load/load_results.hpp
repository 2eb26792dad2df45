// What a load engine has measured: counts and failures of the whole run, samples of one step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "load/stalls.hpp"

namespace kilofork {

enum class Failure : std::uint8_t {
  connect,    // no connection
  ungreeted,  // no complete greeting in time
  greeting,   // another text than the greeting
  timeout,    // no complete reply in time
  mismatch,   // another text than the reply
  refused,    // the line of a refused client, instead of greeting or reply
  lost,       // the connection ended before the reply
  unsent,     // never sent: the client gave up after several failed connects
  overdue,    // never sent: when the open loop ended, no client had been free since it fell due
};
inline constexpr auto kFailureNames =
    std::to_array<std::string_view>({"connect", "ungreeted", "greeting", "timeout", "mismatch",
                                     "refused", "lost", "unsent", "overdue"});
constexpr std::size_t kFailures = kFailureNames.size();
static_assert(kFailures == static_cast<std::size_t>(Failure::overdue) + 1);

// The failures of one kind.
struct LoadFailures {
  std::uint64_t count;
  std::uint32_t first_client;  // the lowest number of a client with this failure; 0: of no client
  std::string first_detail;    // of that client
};

struct LoadCounts {
  std::uint64_t sent = 0;
  std::uint64_t verified = 0;
  std::uint64_t failed = 0;
  std::uint64_t connections = 0;
  std::uint64_t syn_retransmits = 0;
  std::uint32_t greeted = 0;      // clients that were greeted at least once
  std::uint32_t settled = 0;      // clients that were greeted or have failed at least once
  Nanoseconds first_connect = 0;  // times of the monotonic clock; 0: never
  Nanoseconds first_send = 0;
  Nanoseconds last_reply = 0;
};

struct LoadSamples {
  std::vector<Nanoseconds> connect;  // from connect() until greeted
  std::vector<Nanoseconds> reply;    // from the send (open loop: the intended send) to the reply
  std::vector<Nanoseconds> lag;      // how late this engine read a reply, or sent a request
};

// Sends of the open loop that fell due and were not made.
struct OverdueSends {
  std::uint64_t count = 0;
  // Of some of them, spread evenly, at the end of the load:
  std::vector<Nanoseconds> waited;  // since it fell due
  std::vector<Nanoseconds> lag;     // the part of it for which this engine was stalled
};

struct LoadResults {
  LoadCounts counts;
  LoadSamples samples;
  Stalls stalls;
  std::array<LoadFailures, kFailures> failures{};

  // Keeps the memory, so that the next step allocates none.
  void clear_samples();
  // This engine reads a reply, or sends a request, later than it could have.
  void add_lag(Nanoseconds lag) {
    samples.lag.push_back(lag);
    if (lag >= Stalls::kLeast) stalls.note(monotonic_now(), lag);
  }
  // Counts `times` failed requests of the client with this number.
  void add_failure(std::uint32_t client, Failure kind, std::string_view detail,
                   std::uint64_t times);
};

}  // namespace kilofork
