// How many requests are in flight at one instant, by the client's own eyes, and in how many
// processes of the server. One object is shared by all the engines of a run, hence by threads.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "base/clock.hpp"

namespace kilofork {

class InFlight {
 public:
  struct Peak {
    std::uint32_t requests;  // in flight at one instant
    std::uint32_t pids;      // in so many distinct processes, in that stretch
    Nanoseconds from;        // the longest stretch at that number, monotonic clock
    Nanoseconds until;
  };

  InFlight();

  void greeted(std::uint32_t pid);
  void sent(std::uint32_t pid, Nanoseconds now);
  void ended(std::uint32_t pid, Nanoseconds now);  // answered, or failed

  [[nodiscard]] Peak peak();
  // Distinct processes that have greeted a client.
  [[nodiscard]] std::uint32_t greeters();

 private:
  // By pid. Linux gives none above 2^22; a stranger's larger numbers share a place.
  struct Process {
    std::uint32_t requests;
    bool has_greeted;
  };
  struct Free {
    void operator()(Process* processes) const { std::free(processes); }
  };
  Process& process(std::uint32_t pid);

  std::mutex mutex_;
  std::unique_ptr<Process[], Free> processes_;  // NOLINT: calloc'ed, so only what is used is there
  std::uint32_t requests_ = 0;
  std::uint32_t pids_ = 0;
  std::uint32_t greeters_ = 0;
  Peak peak_{};
  Nanoseconds at_peak_since_ = 0;  // 0: not at the peak now
  std::uint32_t at_peak_pids_ = 0;
};

}  // namespace kilofork
