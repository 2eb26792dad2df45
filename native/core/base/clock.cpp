#include "base/clock.hpp"

#include <chrono>
#include <cstring>

namespace kilofork {

namespace {

void write_two(char* out, unsigned number) {
  out[0] = static_cast<char>('0' + number / 10);
  out[1] = static_cast<char>('0' + number % 10);
}

std::uint32_t quarter_of(std::time_t time) {
  constexpr std::time_t kQuarter = 900;
  return static_cast<std::uint32_t>(time / kQuarter + 1);
}

}  // namespace

std::int32_t UtcOffset::at(std::time_t time) {
  const std::uint64_t known = known_.load(std::memory_order_relaxed);
  if (known >> 32 == quarter_of(time)) return static_cast<std::int32_t>(known);
  std::tm local{};
  ::localtime_r(&time, &local);
  const auto offset = static_cast<std::int32_t>(local.tm_gmtoff);
  if (known == 0 || static_cast<std::int32_t>(known) == offset) publish(time, offset);
  return offset;
}

bool UtcOffset::is_published(std::time_t time, std::int32_t offset) const {
  const std::uint64_t known = known_.load(std::memory_order_relaxed);
  return static_cast<std::int32_t>(known) == offset || known >> 32 == quarter_of(time) + 1;
}

void UtcOffset::publish(std::time_t time, std::int32_t offset) {
  known_.store(std::uint64_t{quarter_of(time)} << 32 | static_cast<std::uint32_t>(offset),
               std::memory_order_relaxed);
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
    seconds_ = offset_.at(minute);
    is_published_ = offset_.is_published(minute, seconds_);
    const sys_seconds local{seconds{minute + seconds_}};
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

std::string_view RecordTime::write_offset(std::int32_t offset, std::array<char, 9>& out) {
  const auto seconds = static_cast<unsigned>(offset < 0 ? -offset : offset);
  out = {offset < 0 ? '-' : '+', '0', '0', ':', '0', '0', ':', '0', '0'};
  write_two(&out[1], seconds / 3600);
  write_two(&out[4], seconds / 60 % 60);
  write_two(&out[7], seconds % 60);
  return {out.data(), seconds % 60 == 0 ? out.size() - 3 : out.size()};
}

void RecordTime::publish() {
  offset_.publish(minute_, seconds_);
  is_published_ = true;
}

}  // namespace kilofork
