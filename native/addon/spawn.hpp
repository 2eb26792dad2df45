// Starts the supervisor, by fork and exec, with exactly the descriptors that it needs. Runs in the
// front.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/fd.hpp"

namespace kilofork {

struct User {
  uid_t uid;
  gid_t gid;
};

struct SupervisorStart {
  std::string executable;
  std::string segment_name;
  int listener;
  int log;
  int segment;
  int spawn_log;
  std::optional<User> run_as;  // else as the front
};

struct StartedSupervisor {
  pid_t pid;
  Fd control;   // stream socket with lines, see core/control.hpp
  Fd lifeline;  // at its end of file, the supervisor and every child of its are gone
};

// Throws SystemError that names the step that failed, also one in the new process.
StartedSupervisor start_supervisor(const SupervisorStart& start);

}  // namespace kilofork
