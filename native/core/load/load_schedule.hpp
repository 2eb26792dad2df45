// When the clients of a load engine connect and send: the ramp, the barrier, the open loop and the
// duration. Makes no system call. Times are of the monotonic clock. The functions stand here so
// that the compiler can inline them: some run for every request.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.hpp"
#include "load/load_options.hpp"

namespace kilofork {

class LoadSchedule {
 public:
  // `options` outlives the schedule.
  explicit LoadSchedule(const LoadOptions& options)
      : options_(options), is_released_(!options.barrier) {}

  // Called at the start of every step; the first call starts the ramp.
  void start(Nanoseconds now) {
    if (ramp_started_ == 0) ramp_started_ = now;
    if (is_released_ && load_started_ == 0) load_started_ = now;
  }
  // Opens the barrier. Durations and intended sends count from here.
  void release(Nanoseconds now) {
    is_released_ = true;
    load_started_ = now;
  }
  [[nodiscard]] bool is_released() const { return is_released_; }
  [[nodiscard]] bool is_open_loop() const { return options_.interval > 0; }

  // Whether the duration has passed.
  [[nodiscard]] bool is_over(Nanoseconds now) const {
    return options_.duration > 0 && load_started_ > 0 && now >= load_started_ + options_.duration;
  }
  // Whether a client still sends its request with this number.
  [[nodiscard]] bool has_request(std::uint64_t number, Nanoseconds now) const {
    return (options_.requests == 0 || number <= options_.requests) && !is_over(now);
  }

  // The ramp: when the next client connects for the first time, and whether one is left.
  [[nodiscard]] bool has_newcomer() const { return newcomer_ < options_.clients; }
  [[nodiscard]] Nanoseconds newcomer_due() const {
    return ramp_started_ + newcomer_ * options_.ramp_step;
  }
  // Returns its index.
  std::uint32_t take_newcomer() { return newcomer_++; }

  // The open loop: when the next send is due, whichever client makes it.
  [[nodiscard]] Nanoseconds send_due() const {
    return load_started_ + static_cast<Nanoseconds>(sends_) * options_.interval;
  }
  void take_send() { sends_++; }
  // When the load has ended, or `now` if that is earlier.
  [[nodiscard]] Nanoseconds end(Nanoseconds now) const {
    return options_.duration > 0 ? std::min(now, load_started_ + options_.duration) : now;
  }
  // The sends that fell due before `end` and were not made.
  [[nodiscard]] std::uint64_t overdue(Nanoseconds end) const {
    if (!is_open_loop() || load_started_ == 0 || send_due() >= end) return 0;
    return static_cast<std::uint64_t>((end - send_due() - 1) / options_.interval) + 1;
  }

 private:
  const LoadOptions& options_;
  bool is_released_;
  std::uint32_t newcomer_ = 0;
  std::uint64_t sends_ = 0;
  Nanoseconds ramp_started_ = 0;  // 0: not yet
  Nanoseconds load_started_ = 0;  // 0: not yet
};

}  // namespace kilofork
