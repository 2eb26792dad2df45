// Counts the requests in flight as the client sees them, and the server processes that they are in;
// keeps the peak. A request has a process when it ends: with a process for each request, the reply
// tells it. All engines of a run share one object, each on a thread of its own.
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

  // A process is seen: it has greeted a client or, with a process for each request, replied.
  void seen(std::uint32_t pid);
  void sent(Nanoseconds now);
  // Answered or failed. `pid`: 0 if no process is known.
  void ended(std::uint32_t pid, Nanoseconds sent, Nanoseconds now);

  [[nodiscard]] Peak peak();
  // The number of distinct processes that were seen.
  [[nodiscard]] std::uint32_t greeters();
  // The first of them: by these a reader finds the server's run in a log.
  [[nodiscard]] std::vector<std::uint32_t> first_greeters();

 private:
  // Indexed by pid modulo 2^22. Linux assigns no pid above that; another server's larger numbers
  // share entries.
  struct Process {
    std::uint32_t counted_in;  // the number of the last peak that it was counted in
    bool was_seen;
  };
  struct Free {
    void operator()(Process* processes) const { std::free(processes); }
  };
  Process& process(std::uint32_t pid);
  void set_peak(Nanoseconds from, Nanoseconds until);

  std::mutex mutex_;
  std::unique_ptr<Process[], Free> processes_;  // NOLINT: from calloc(), pages come when touched
  std::uint32_t requests_ = 0;
  std::uint32_t peak_number_ = 0;
  std::uint32_t greeters_ = 0;
  std::vector<std::uint32_t> first_greeters_;
  Peak peak_{};
  Nanoseconds at_peak_since_ = 0;  // 0: fewer than the peak are in flight now
};

}  // namespace kilofork
