// MemAvailable of proc_meminfo(5): the memory that the system can still give. Cached files count as
// free. What the cgroup has left may be less: cgroup.hpp.
#pragma once

#include <cstddef>

namespace kilofork {

// Bytes; SIZE_MAX if it cannot be read.
std::size_t available_memory();

}  // namespace kilofork
