// How much memory the whole system could still give: MemAvailable of proc_meminfo(5).
#pragma once

#include <cstddef>

namespace kilofork {

// Bytes; SIZE_MAX when it cannot be read.
std::size_t available_memory();

}  // namespace kilofork
