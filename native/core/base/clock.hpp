// Clocks and durations. A monotonic clock measures durations, the real-time clock stamps records;
// both are read without a system call (vdso(7)). Durations are in nanoseconds.
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
// Rounds up: a short time-out must not become 0, which means none.
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

// The seconds by which local time is ahead of UTC. Lies in memory that children share: a child that
// calls localtime_r(3) writes to pages of the C library, which are then copied for it. Offsets
// change at quarters of an hour only, so one process calls it once in each. The zone must be loaded
// (tzset(3)) before children are forked.
//
// The log says the offset, and each other one before the first record that has it: who finds
// another offset writes a record of it, and only then calls publish(). Until that, everybody finds
// it.
class UtcOffset {
 public:
  // Publishes the first offset that is found, and the same one again.
  [[nodiscard]] std::int32_t at(std::time_t time);
  // Also true for the offset before the published one, in the quarter before: a process may read
  // the clock just before a change, and write after it.
  [[nodiscard]] bool is_published(std::time_t time, std::int32_t offset) const;
  void publish(std::time_t time, std::int32_t offset);
  // One in the memory of this process alone.
  static UtcOffset& of_process();

 private:
  std::atomic<std::uint64_t> known_{0};  // the quarter of an hour, and the offset in it; 0: none
};

// The time of a record, "2020.07.06 16:44:57.270823600", local time.
class RecordTime {
 public:
  static constexpr std::size_t kLength = 29;
  explicit RecordTime(UtcOffset& offset = UtcOffset::of_process()) : offset_(offset) {}
  // Writes kLength characters, no terminator.
  void format(timespec now, char* out);

  // The text of an offset, "+05:45"; with seconds where they are not 0.
  static std::string_view write_offset(std::int32_t offset, std::array<char, 9>& out);
  // The offset of the time that was formatted last. Whether the log must say it first; if so,
  // publish() after that.
  [[nodiscard]] std::int32_t offset() const { return seconds_; }
  [[nodiscard]] bool is_published() const { return is_published_; }
  void publish();

 private:
  static constexpr std::size_t kMinuteLength = 17;

  UtcOffset& offset_;
  std::int32_t seconds_ = 0;
  bool is_published_ = true;
  std::time_t minute_ = -1;                 // the minute that text_ shows
  std::array<char, kMinuteLength> text_{};  // "YYYY.MM.DD HH:MM:" of minute_
};

}  // namespace kilofork
