#include "process/memory.hpp"

#include <cstdint>

#include "base/read_file.hpp"
#include "base/tokens.hpp"

namespace kilofork {

std::size_t available_memory() {
  constexpr std::size_t kKilobyte = 1024;
  const auto kilobytes = number_after(read_file("/proc/meminfo"), "MemAvailable:");
  return kilobytes ? *kilobytes * kKilobyte : SIZE_MAX;
}

}  // namespace kilofork
