// The syncer: a process that syncs the log to disk for all children that wait for it
// (shm/group_commit.hpp). Forked by the supervisor (supervisor/log_manager.cpp), which sends it
// each log before any child can write to that log.
//
// It ends by SIGTERM, or with the supervisor (SIGCONT), but not in the middle of a sync.
// If it is killed in the middle of one, the result is unknown. fdatasync(2).
#pragma once

#include <sys/types.h>

#include "base/fd.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {

struct SyncerContext {
  Scoreboard& scoreboard;
  pid_t supervisor;
  int inbox;   // where the supervisor sends logs
  int wakeup;  // wakes the supervisor after a failed sync
};

// Supervisor. `inbox`: its end. False if the inbox is full: the syncer is stuck.
[[nodiscard]] bool send_log(int inbox, int log, std::uint32_t epoch);

// The new process, after it has closed what it does not keep.
[[noreturn]] void run_syncer(const SyncerContext& context);

}  // namespace kilofork
