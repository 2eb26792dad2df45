#include "load/in_flight.hpp"

#include <new>

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

void InFlight::greeted(std::uint32_t pid) {
  const std::lock_guard lock(mutex_);
  Process& server = process(pid);
  if (server.has_greeted) return;
  server.has_greeted = true;
  greeters_++;
  if (first_greeters_.size() < kFirstGreeters) first_greeters_.push_back(pid);
}

void InFlight::sent(std::uint32_t pid, Nanoseconds now) {
  const std::lock_guard lock(mutex_);
  requests_++;
  if (process(pid).requests++ == 0) pids_++;
  if (requests_ < peak_.requests) return;
  if (requests_ > peak_.requests)
    peak_ = {.requests = requests_, .pids = pids_, .from = now, .until = now};
  at_peak_pids_ = pids_;
  at_peak_since_ = now;
}

void InFlight::ended(std::uint32_t pid, Nanoseconds now) {
  const std::lock_guard lock(mutex_);
  if (requests_ == peak_.requests && at_peak_since_ > 0) {
    if (now - at_peak_since_ > peak_.until - peak_.from) {
      peak_.pids = at_peak_pids_;
      peak_.from = at_peak_since_;
      peak_.until = now;
    }
    at_peak_since_ = 0;
  }
  requests_--;
  if (--process(pid).requests == 0) pids_--;
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
