// What a supervisor leaves to the executable that takes its place by exec: same process, same
// children, same descriptors. As lines of text in a memory file (memfd_create(2)): first the
// settings as the front sent them and "start", then what only the supervisor knew.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "log/log_broadcast.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/roster.hpp"

namespace kilofork {

struct ExecState {
  struct Child {
    std::size_t slot;
    Member member;
  };
  std::vector<std::string> settings;  // lines
  int wakeup = -1;                    // descriptors, which stay open across exec
  int publish_fd = -1;
  int receive_log = -1;
  pid_t syncer = 0;  // 0: there is none
  int inbox = -1;    // a descriptor, of the syncer
  bool announced = false;
  std::vector<Child> children;
  std::vector<std::string> pending_ends;  // records of ends, see SpawnRecord
};

// Throws SystemError.
Fd write_exec_state(const ExecState& state);
// Throws SystemError, EPROTO when a line is not understood.
ExecState read_exec_state(int fd);

// All that two executables must agree upon for one to take over from the other.
inline std::string compatibility() {
  constexpr int kExecStateVersion = 4;
  return "scoreboard " + std::to_string(Scoreboard::kVersion) + " handover " +
         std::to_string(kExecStateVersion);
}

}  // namespace kilofork
