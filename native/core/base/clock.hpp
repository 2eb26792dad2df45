// The two clocks: one for durations, one for records. Both are read without a system call
// (vdso(7)); durations are in nanoseconds throughout native code.
#pragma once

#include <sys/time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <limits>
#include <string_view>

namespace kilofork {

using Nanoseconds = std::int64_t;

constexpr Nanoseconds kMicrosecond = 1'000;
constexpr Nanoseconds kMillisecond = 1'000'000;
constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kNever = std::numeric_limits<Nanoseconds>::max();

constexpr Nanoseconds to_nanoseconds(const timespec& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}
constexpr timespec to_timespec(Nanoseconds time) {
  return {.tv_sec = time / kSecond, .tv_nsec = time % kSecond};
}
// Rounded up: a short time-out must not become none.
constexpr timeval to_timeval(Nanoseconds time) {
  const Nanoseconds microseconds = (time + kMicrosecond - 1) / kMicrosecond;
  return {.tv_sec = microseconds / 1'000'000, .tv_usec = microseconds % 1'000'000};
}
inline Nanoseconds read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return to_nanoseconds(now);
}
inline Nanoseconds monotonic_now() {
  return read_clock(CLOCK_MONOTONIC);
}
inline Nanoseconds realtime_now() {
  return read_clock(CLOCK_REALTIME);
}

// How far local time is ahead of UTC, in seconds. One of those that share it asks localtime_r(3),
// once in a quarter of an hour, since no zone turns in between: what that writes and walks through
// are pages that each process would have to itself. The zone must have been loaded (tzset(3))
// before the process was forked.
class UtcOffset {
 public:
  [[nodiscard]] std::int32_t at(std::time_t time);
  // Shared with nobody.
  static UtcOffset& of_process();

 private:
  std::atomic<std::uint64_t> known_{0};  // the quarter of an hour and its offset; 0: none
};

// The time of a record, "2020.07.06 16:44:57.270823600", local time.
class RecordTime {
 public:
  static constexpr std::size_t kLength = 29;
  explicit RecordTime(UtcOffset& offset = UtcOffset::of_process()) : offset_(offset) {}
  // Writes kLength characters, no terminator.
  void format(timespec now, char* out);

 private:
  static constexpr std::size_t kMinuteLength = 17;

  UtcOffset& offset_;
  std::time_t minute_ = -1;                 // the minute that text_ stands for
  std::array<char, kMinuteLength> text_{};  // "YYYY.MM.DD HH:MM:" of that minute
};

}  // namespace kilofork
