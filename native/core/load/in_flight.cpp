#include "load/in_flight.hpp"

#include <new>
#include <utility>

namespace kilofork {

namespace {
constexpr std::size_t kPids = std::size_t{1} << 22;
constexpr std::size_t kFirstGreeters = 16;
}  // namespace

InFlight::InFlight()
    : processes_(static_cast<Process*>(std::calloc(kPids, sizeof(Process)))) {  // NOLINT
  if (!processes_) throw std::bad_alloc();
}

InFlight::Process& InFlight::process(std::uint32_t pid) {
  return processes_[pid % kPids];
}

void InFlight::seen(std::uint32_t pid) {
  const std::lock_guard lock(mutex_);
  Process& server = process(pid);
  if (server.was_seen) return;
  server.was_seen = true;
  greeters_++;
  if (first_greeters_.size() < kFirstGreeters) first_greeters_.push_back(pid);
}

void InFlight::sent(Nanoseconds now) {
  const std::lock_guard lock(mutex_);
  requests_++;
  if (requests_ < peak_.requests) return;
  if (requests_ > peak_.requests) set_peak(now, now);
  at_peak_since_ = now;
}

void InFlight::ended(std::uint32_t pid, Nanoseconds sent, Nanoseconds now) {
  const std::lock_guard lock(mutex_);
  if (requests_ == peak_.requests && at_peak_since_ > 0) {
    if (at_peak_since_ == peak_.from)
      peak_.until = now;
    else if (now - at_peak_since_ > peak_.until - peak_.from)
      set_peak(at_peak_since_, now);
    at_peak_since_ = 0;
  }
  requests_--;
  if (pid == 0 || sent > peak_.from) return;
  Process& server = process(pid);
  if (std::exchange(server.counted_in, peak_number_) != peak_number_) peak_.pids++;
}

// All that are in flight then end later, and their processes are counted then.
void InFlight::set_peak(Nanoseconds from, Nanoseconds until) {
  peak_ = {.requests = requests_, .pids = 0, .from = from, .until = until};
  peak_number_++;
}

InFlight::Peak InFlight::peak() {
  const std::lock_guard lock(mutex_);
  return peak_;
}

std::uint32_t InFlight::greeters() {
  const std::lock_guard lock(mutex_);
  return greeters_;
}

std::vector<std::uint32_t> InFlight::first_greeters() {
  const std::lock_guard lock(mutex_);
  return first_greeters_;
}

}  // namespace kilofork
