// Counts the requests in flight as the client sees them, and the server processes that they are in;
// keeps the peak. All engines of a run share one object, each on a thread of its own.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.hpp"

namespace kilofork {

class InFlight {
 public:
  struct Peak {
    std::uint32_t requests;  // the largest number in flight at one instant
    std::uint32_t pids;      // the distinct processes they were in, in the interval below
    Nanoseconds from;        // the longest interval with that many requests, monotonic clock
    Nanoseconds until;
  };

  InFlight();

  void greeted(std::uint32_t pid);
  void sent(std::uint32_t pid, Nanoseconds now);
  void ended(std::uint32_t pid, Nanoseconds now);  // answered or failed

  [[nodiscard]] Peak peak();
  // The number of distinct processes that have greeted a client.
  [[nodiscard]] std::uint32_t greeters();
  // The first of them: by these a reader finds the server's run in a log.
  [[nodiscard]] std::vector<std::uint32_t> first_greeters();

 private:
  // Indexed by pid modulo 2^22. Linux assigns no pid above that; another server's larger numbers
  // share entries.
  struct Process {
    std::uint32_t requests;
    bool has_greeted;
  };
  struct Free {
    void operator()(Process* processes) const { std::free(processes); }
  };
  Process& process(std::uint32_t pid);

  std::mutex mutex_;
  std::unique_ptr<Process[], Free> processes_;  // NOLINT: from calloc(), pages come when touched
  std::uint32_t requests_ = 0;
  std::uint32_t pids_ = 0;
  std::uint32_t greeters_ = 0;
  std::vector<std::uint32_t> first_greeters_;
  Peak peak_{};
  Nanoseconds at_peak_since_ = 0;  // 0: fewer than the peak are in flight now
  std::uint32_t at_peak_pids_ = 0;
};

}  // namespace kilofork
