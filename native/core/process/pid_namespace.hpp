// The namespace in which the pids of a server have a meaning. pid_namespaces(7).
#pragma once

#include <sys/stat.h>

#include <cstdint>

namespace kilofork {

// The number of this process's namespace; 0 where there is no /proc.
inline std::uint64_t pid_namespace() {
  struct stat status {};
  return ::stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

}  // namespace kilofork
