// What a supervisor leaves to the executable that replaces it by exec(2): same process, same
// children, same descriptors. Runs in the supervisor.
//
// The state is lines of text in a memory file (memfd_create(2)): the settings as the front sent
// them, "start", then what the supervisor alone knows.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/roster.hpp"

namespace kilofork {

struct ExecState {
  struct Child {
    std::size_t slot;
    Member member;
    int keeper_end = -1;  // of its socket pair: a descriptor that stays open
  };
  std::vector<std::string> settings;  // lines
  int wakeup = -1;                    // a descriptor that stays open, like the next two
  int publish_log = -1;
  int receive_log = -1;
  pid_t syncer = 0;         // 0: none
  int inbox = -1;           // of the syncer: a descriptor that stays open
  pid_t keeper = 0;         // 0: none
  int keeper_control = -1;  // a descriptor that stays open
  bool announced = false;   // the front was told that all children are up
  std::vector<Child> children;
  std::vector<std::string> pending_ends;  // texts of records: see SpawnRecord
};

// Both throw SystemError; read_exec_state() with EPROTO if a line is not understood.
Fd write_exec_state(const ExecState& state);
ExecState read_exec_state(int fd);

// Executes `path` in this process. `kept`: descriptors that stay open. Throws SystemError.
[[noreturn]] void execute_successor(const std::string& path, const std::string& segment_name,
                                    const ExecState& state, const std::vector<int>& kept);

// What two executables must agree on for one to replace the other. Also called by the front.
inline std::string compatibility() {
  constexpr int kExecStateVersion = 6;  // also raised when the names or values of settings change
  return "scoreboard " + std::to_string(Scoreboard::kVersion) + " exec-state " +
         std::to_string(kExecStateVersion);
}

}  // namespace kilofork
