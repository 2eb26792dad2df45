// In which namespace pids have a meaning: pid_namespaces(7).
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace kilofork {

// Of this process; 0 where there is no /proc.
inline std::uint64_t pid_namespace() {
  struct stat status {};
  return ::stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

}  // namespace kilofork
