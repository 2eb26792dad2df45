// The memory that the system can still give to processes: MemAvailable of proc_meminfo(5).
#pragma once

#include <cstddef>

namespace kilofork {

// Bytes; SIZE_MAX if it cannot be read.
std::size_t available_memory();

}  // namespace kilofork
