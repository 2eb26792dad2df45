#include "process/cgroup.hpp"

#include <string_view>

#include "base/read_file.hpp"
#include "base/tokens.hpp"

namespace kilofork {

namespace {

std::size_t number_in(const std::string& path, std::size_t otherwise) {
  return number_after(read_file(path), "").value_or(otherwise);
}

CgroupLimit tasks_in(const std::string& folder) {
  return {.most = number_in(folder + "/pids.max", SIZE_MAX),
          .used = number_in(folder + "/pids.current", 0)};
}

// `inactive`, `active`: the names of the cache in memory.stat.
CgroupLimit memory_in(const std::string& folder, std::size_t most, const char* current,
                      std::string_view inactive, std::string_view active) {
  if (most == SIZE_MAX) return {};
  const std::size_t used = number_in(folder + current, 0);
  // By append(): of "\n" + …, GCC 12 warns of an overlap that is none (-Wrestrict).
  const std::string stat = std::string(1, '\n').append(read_file(folder + "/memory.stat"));
  const std::size_t cached =
      number_after(stat, inactive).value_or(0) + number_after(stat, active).value_or(0);
  return {.most = most, .used = used - std::min(used, cached)};
}

// In memory.stat of version 1, a cgroup counts those below it under names of their own.
CgroupLimit memory_in_first(const std::string& folder) {
  return memory_in(folder, number_in(folder + "/memory.limit_in_bytes", SIZE_MAX),
                   "/memory.usage_in_bytes", "\ntotal_inactive_file", "\ntotal_active_file");
}

CgroupLimit memory_in_second(const std::string& folder) {
  const std::size_t most = std::min(number_in(folder + "/memory.max", SIZE_MAX),
                                    number_in(folder + "/memory.high", SIZE_MAX));
  return memory_in(folder, most, "/memory.current", "\ninactive_file", "\nactive_file");
}

// Keeps the limit that leaves less, from `path` up to the root of the hierarchy. In a container,
// the path may be that of the machine: it is not there, and the root is the container's own cgroup.
void tighten(CgroupLimit& tightest, CgroupLimit (*limit_in)(const std::string& folder),
             const std::string& root, std::string_view path) {
  if (path == "/") path = {};
  for (;; path = path.substr(0, path.rfind('/'))) {
    const CgroupLimit found = limit_in(root + std::string(path));
    if (found.left() < tightest.left()) tightest = found;
    if (path.empty()) return;
  }
}

// A line of /proc/self/cgroup: "4:memory:/path", or "0::/path" of version 2.
void read_line(CgroupLimits& limits, const std::string& root, std::string_view line) {
  const std::size_t first = line.find(':');
  const std::size_t second = line.find(':', first + 1);
  if (second == std::string_view::npos || line.substr(second + 1, 1) != "/") return;
  const std::string controllers =
      std::string(1, ',').append(line.substr(first + 1, second - first - 1)).append(1, ',');
  const std::string_view path = line.substr(second + 1);
  const std::string mounted = root + "/sys/fs/cgroup";
  if (controllers == ",,") {
    tighten(limits.memory, memory_in_second, mounted, path);
    tighten(limits.tasks, tasks_in, mounted, path);
  }
  if (controllers.find(",memory,") != std::string::npos)
    tighten(limits.memory, memory_in_first, mounted + "/memory", path);
  if (controllers.find(",pids,") != std::string::npos)
    tighten(limits.tasks, tasks_in, mounted + "/pids", path);
}

}  // namespace

CgroupLimits cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  const std::string text = read_file(root + "/proc/self/cgroup");
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    read_line(limits, root, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return limits;
}

}  // namespace kilofork
