// The loop of the load client: drives many clients from one thread through epoll(7). Each thread of
// `kilofork client` has one engine. It knows no protocol: it gets three templates (a greeting with
// {pid}, a request with {n}, the expected reply) and how a refusal begins, and compares every byte.
//
// The loop decides when a client acts (load_schedule.hpp), the rest is the client's own life
// (client_life.hpp). Times are of the monotonic clock.
#pragma once

#include <array>
#include <cstdint>

#include "base/clock.hpp"
#include "load/client_life.hpp"
#include "load/client_table.hpp"
#include "load/epoll_set.hpp"
#include "load/in_flight.hpp"
#include "load/load_options.hpp"
#include "load/load_results.hpp"
#include "load/load_schedule.hpp"
#include "net/endpoint.hpp"

namespace kilofork {

class LoadEngine {
 public:
  // `in_flight` outlives the engine. Throws SystemError.
  LoadEngine(LoadOptions options, InFlight& in_flight);
  // Its parts refer to each other.
  LoadEngine(const LoadEngine&) = delete;
  LoadEngine& operator=(const LoadEngine&) = delete;

  // Works for about `time`, or less if all clients are done or there are many samples. True if all
  // clients are done. samples() has the samples of this step until the next one.
  bool step(Nanoseconds time);
  // Called once, after the last step, whether all clients are done or not. What the open loop has
  // not sent although it was due has failed.
  OverdueSends end();
  // Opens the barrier: greeted clients send.
  void release();

  [[nodiscard]] const LoadSamples& samples() const { return results_.samples; }
  [[nodiscard]] const LoadCounts& counts() const { return results_.counts; }
  [[nodiscard]] const std::array<LoadFailures, kFailures>& failures() const {
    return results_.failures;
  }
  // The server that answered last.
  [[nodiscard]] const Endpoint& server() const { return options_.servers[life_.server()]; }

 private:
  void connect_due(Nanoseconds now);
  void send_due(Nanoseconds now);
  void expire(Nanoseconds now);
  void wait(Nanoseconds until);

  [[nodiscard]] bool may_begin() const;
  [[nodiscard]] std::uint64_t requests_left() const;
  [[nodiscard]] bool has_many_samples() const;
  [[nodiscard]] Nanoseconds next_due(Nanoseconds until) const;

  const LoadOptions options_;
  LoadSchedule schedule_;
  ClientTable clients_;
  EpollSet sockets_;
  LoadResults results_;
  ClientLife life_;
};

}  // namespace kilofork
