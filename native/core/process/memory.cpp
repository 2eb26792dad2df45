#include "process/memory.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.hpp"

namespace kilofork {

namespace {

// The first bytes of a file; "" if it cannot be read.
std::string read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 8192> bytes{};
  const ssize_t got = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : -1;
  return {bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

// The number behind `key`; `missing` if there is none.
std::size_t number_after(std::string_view text, std::string_view key, std::size_t missing) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return missing;
  const std::size_t start = text.find_first_not_of(' ', at + key.size());
  std::size_t number = 0;
  if (start == std::string_view::npos ||
      std::from_chars(text.data() + start, text.data() + text.size(), number).ec != std::errc{})
    return missing;
  return number;
}

// The names of a version's files. In memory.stat a cgroup of version 1 counts those below it under
// names of their own.
struct CgroupVersion {
  std::string root, most, current, inactive, active;
};
const CgroupVersion& version(int number) {
  static const CgroupVersion first{.root = "/sys/fs/cgroup/memory",
                                   .most = "/memory.limit_in_bytes",
                                   .current = "/memory.usage_in_bytes",
                                   .inactive = "\ntotal_inactive_file",
                                   .active = "\ntotal_active_file"};
  static const CgroupVersion second{.root = "/sys/fs/cgroup",
                                    .most = "/memory.max",
                                    .current = "/memory.current",
                                    .inactive = "\ninactive_file",
                                    .active = "\nactive_file"};
  return number == 1 ? first : second;
}

std::size_t left_in(const CgroupVersion& names, const std::string& folder) {
  const std::size_t most = number_after(read_file(folder + names.most), "", SIZE_MAX);
  if (most == SIZE_MAX) return SIZE_MAX;
  const std::size_t current = number_after(read_file(folder + names.current), "", 0);
  const std::string stat = read_file(folder + "/memory.stat");
  const std::size_t cached =
      number_after(stat, names.inactive, 0) + number_after(stat, names.active, 0);
  const std::size_t held = current - std::min(current, cached);
  return most - std::min(most, held);
}

// A line of /proc/self/cgroup: "4:memory:/path", or "0::/path" in version 2.
std::size_t left_in_cgroup_of(std::string_view line) {
  const std::size_t colon = line.find(':');
  const std::size_t second = line.find(':', colon + 1);
  if (second == std::string_view::npos) return SIZE_MAX;
  std::string controllers(",");
  controllers.append(line.substr(colon + 1, second - colon - 1)).append(",");
  const bool is_second = controllers == ",,";
  if (!is_second && controllers.find(",memory,") == std::string::npos) return SIZE_MAX;
  const CgroupVersion& names = version(is_second ? 2 : 1);
  std::string path(line.substr(second + 1));
  if (path == "/") path.clear();
  std::size_t left = left_in(names, names.root + path);
  while (!path.empty()) {
    path.erase(path.rfind('/'));
    left = std::min(left, left_in(names, names.root + path));
  }
  return left;
}

std::size_t left_in_cgroups() {
  const std::string text = read_file("/proc/self/cgroup");
  std::size_t left = SIZE_MAX;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    left = std::min(left, left_in_cgroup_of(std::string_view(text).substr(from, end - from)));
    from = end + 1;
  }
  return left;
}

}  // namespace

std::size_t available_memory() {
  constexpr std::size_t kKilobyte = 1024;
  const std::size_t kilobytes = number_after(read_file("/proc/meminfo"), "MemAvailable:", SIZE_MAX);
  const std::size_t of_system = kilobytes == SIZE_MAX ? SIZE_MAX : kilobytes * kKilobyte;
  return std::min(of_system, left_in_cgroups());
}

}  // namespace kilofork
