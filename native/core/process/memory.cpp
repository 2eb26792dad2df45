#include "process/memory.hpp"

#include <fcntl.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "base/fd.hpp"

namespace kilofork {

std::size_t available_memory() {
  constexpr std::string_view kKey = "MemAvailable:";
  constexpr std::size_t kKilobyte = 1024;
  const Fd fd(::open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> bytes{};
  const ssize_t got = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : -1;
  const std::string_view text(bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t key = text.find(kKey);
  const std::size_t start = text.find_first_of("0123456789", key);
  std::size_t kilobytes = 0;
  if (key == std::string_view::npos || start == std::string_view::npos ||
      std::from_chars(text.data() + start, text.data() + text.size(), kilobytes).ec != std::errc{})
    return SIZE_MAX;
  return kilobytes * kKilobyte;
}

}  // namespace kilofork
