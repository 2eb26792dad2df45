#include "base/clock.hpp"

#include <chrono>
#include <cstring>

namespace kilofork {

namespace {

void write_two(char* out, unsigned number) {
  out[0] = static_cast<char>('0' + number / 10);
  out[1] = static_cast<char>('0' + number % 10);
}

}  // namespace

std::int32_t UtcOffset::at(std::time_t time) {
  constexpr std::time_t kQuarter = 900;
  const auto quarter = static_cast<std::uint32_t>(time / kQuarter + 1);
  const std::uint64_t known = known_.load(std::memory_order_relaxed);
  if (known >> 32 == quarter) return static_cast<std::int32_t>(known);
  std::tm local{};
  ::localtime_r(&time, &local);
  const auto offset = static_cast<std::int32_t>(local.tm_gmtoff);
  known_.store(std::uint64_t{quarter} << 32 | static_cast<std::uint32_t>(offset),
               std::memory_order_relaxed);
  return offset;
}

UtcOffset& UtcOffset::of_process() {
  static UtcOffset offset;
  return offset;
}

void RecordTime::format(timespec now, char* out) {
  const std::time_t second = now.tv_sec % 60;
  const std::time_t minute = now.tv_sec - second;
  if (minute != minute_) {
    using namespace std::chrono;
    const sys_seconds local{seconds{minute + offset_.at(minute)}};
    const auto day = floor<days>(local);
    const year_month_day date{day};
    const hh_mm_ss time{local - day};
    const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
    std::memcpy(text_.data(), "YYYY.MM.DD HH:MM:", kMinuteLength);
    write_two(&text_[0], year / 100);
    write_two(&text_[2], year % 100);
    write_two(&text_[5], static_cast<unsigned>(date.month()));
    write_two(&text_[8], static_cast<unsigned>(date.day()));
    write_two(&text_[11], static_cast<unsigned>(time.hours().count()));
    write_two(&text_[14], static_cast<unsigned>(time.minutes().count()));
    minute_ = minute;
  }
  std::memcpy(out, text_.data(), kMinuteLength);
  write_two(out + kMinuteLength, static_cast<unsigned>(second));
  out[19] = '.';
  long rest = now.tv_nsec;
  for (std::size_t i = kLength; i-- > 20;) {
    out[i] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
}

}  // namespace kilofork
