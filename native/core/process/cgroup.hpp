// What the cgroup of this process, and each one above it, may have and has: the tightest limit of
// memory and that of tasks, of version 1 or 2. cgroups(7); Documentation/admin-guide/cgroup-v1 and
// cgroup-v2.rst of the kernel.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace kilofork {

struct CgroupLimit {
  std::size_t most = SIZE_MAX;  // no limit
  std::size_t used = 0;

  [[nodiscard]] std::size_t left() const { return most - std::min(most, used); }
};

struct CgroupLimits {
  // Bytes: memory.max, or memory.high, above which a cgroup is slowed down without end. Cached
  // files count as free, since the kernel takes them back.
  CgroupLimit memory;
  CgroupLimit tasks;  // pids.max: processes and threads
};

// What cannot be read is no limit. `root`: in front of all paths, for tests.
CgroupLimits cgroup_limits(const std::string& root = "");

}  // namespace kilofork
