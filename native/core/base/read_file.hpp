// Reads the small text files of proc(5), sysfs(5) and cgroups(7).
#pragma once

#include <string>

namespace kilofork {

// "" if the file cannot be read.
std::string read_file(const std::string& path);

}  // namespace kilofork
