// Starts the supervisor, by fork and exec, with the descriptors of process/descriptors.hpp and no
// others. Runs in the front. fork(2), execve(2).
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
  int log_reader;  // standard output of the supervisor, if the log has a spool; -1: it has none
  int segment;
  int spawn_log;
  std::optional<User> run_as;  // none: the user of the front
};

struct StartedSupervisor {
  pid_t pid;
  Fd control;   // stream socket: see supervisor/control.hpp
  Fd lifeline;  // at its end of file, the supervisor and all that it forked are gone
};

// Throws SystemError with the step that failed, also if that was in the new process.
StartedSupervisor start_supervisor(const SupervisorStart& start);

}  // namespace kilofork
