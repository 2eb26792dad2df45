// A run of the load engine against a scripted server: options, run and results.
#pragma once

#include <utility>
#include <vector>

#include "check.hpp"
#include "load/load_engine.hpp"
#include "scripted_server.hpp"

namespace kilofork::check {

inline LoadOptions load_options(std::uint16_t port, std::uint32_t clients = 1,
                                std::uint64_t requests = 1) {
  return {.servers = {{"127.0.0.1", port}},
          .from = {},
          .clients = clients,
          .first_number = 1,
          .requests = requests,
          .duration = 0,
          .ramp_step = 0,
          .window = 0,
          .interval = 0,
          .connect_timeout = kPatience,
          .reply_timeout = kPatience,
          .barrier = false,
          .reconnect = false,
          .pid_by_reply = false,
          .greeting = Template("this is server thread {pid}\n"),
          .request = Template("arijort:lalala {n}\n"),
          .reply = Template("server {pid} got arijort:lalala {n}\n"),
          .refusal = "error "};
}

// A run, with the samples of all its steps.
struct Load {
  explicit Load(LoadOptions options) : engine(std::move(options), in_flight) {}

  bool step() {
    const bool done = engine.step(5 * kMillisecond);
    const auto& samples = engine.samples();
    connects.insert(connects.end(), samples.connect.begin(), samples.connect.end());
    replies.insert(replies.end(), samples.reply.begin(), samples.reply.end());
    lags.insert(lags.end(), samples.lag.begin(), samples.lag.end());
    return done;
  }
  // Steps until `condition` holds.
  template <typename Condition>
  void run_until(Condition condition) {
    const Nanoseconds deadline = monotonic_now() + 2 * kPatience;
    while (!condition()) {
      step();
      CHECK(monotonic_now() < deadline);
    }
  }
  void run() {
    const Nanoseconds deadline = monotonic_now() + 2 * kPatience;
    while (!step()) CHECK(monotonic_now() < deadline);
  }

  [[nodiscard]] const LoadCounts& counts() const { return engine.counts(); }
  [[nodiscard]] const LoadFailures& failures(Failure kind) const {
    return engine.failures().at(static_cast<std::size_t>(kind));
  }
  // Checks the numbers of requests: sent, verified, and failed, all of them of this kind.
  void check(std::uint64_t sent, std::uint64_t verified, std::uint64_t failed = 0,
             Failure kind = Failure::connect) const {
    CHECK_EQ(counts().sent, sent);
    CHECK_EQ(counts().verified, verified);
    CHECK_EQ(counts().failed, failed);
    CHECK_EQ(failures(kind).count, failed);
    CHECK_EQ(replies.size(), verified);
  }

  InFlight in_flight;
  LoadEngine engine;
  std::vector<Nanoseconds> connects;
  std::vector<Nanoseconds> replies;
  std::vector<Nanoseconds> lags;
};

}  // namespace kilofork::check
