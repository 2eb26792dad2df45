// The memory that this process and others can still get: MemAvailable of proc_meminfo(5), or what
// the cgroup, or one above it, has left, whichever is less. Cached files count as free. cgroups(7).
#pragma once

#include <cstddef>

namespace kilofork {

// Bytes; SIZE_MAX if it cannot be read.
std::size_t available_memory();

}  // namespace kilofork
