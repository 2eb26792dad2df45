#include "clock.hpp"

#include <cstdio>
#include <cstring>

namespace kilofork {

void RecordTime::format(timespec now, char* out) {
  constexpr std::size_t kMinuteLength = 17;
  const std::time_t second = now.tv_sec % 60;
  const std::time_t minute = now.tv_sec - second;
  if (minute != minute_) {
    std::tm local{};
    ::localtime_r(&minute, &local);
    std::strftime(text_.data(), text_.size(), "%Y.%m.%d %H:%M:", &local);
    minute_ = minute;
  }
  std::memcpy(out, text_.data(), kMinuteLength);
  out[17] = static_cast<char>('0' + second / 10);
  out[18] = static_cast<char>('0' + second % 10);
  out[19] = '.';
  long rest = now.tv_nsec;
  for (std::size_t i = kLength; i-- > 20;) {
    out[i] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  }
}

}  // namespace kilofork
