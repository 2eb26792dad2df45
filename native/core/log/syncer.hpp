// The syncer: the one process of a server that waits for the disk, where acknowledgements do. It
// serves nobody, and whatever is killed or stopped beside it, those who wait for a sync get it.
//
// Forked by the supervisor, which sends it each log before any child can write to it. Ends by
// SIGTERM, or with the supervisor (PR_SET_PDEATHSIG), but never in the middle of a sync: only a
// syncer that is killed leaves one whose result nobody knows. fdatasync(2), see group_commit.hpp.
#pragma once

#include <sys/types.h>

#include "base/fd.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {

struct SyncerContext {
  Scoreboard& scoreboard;
  pid_t supervisor;
  int inbox;   // where logs come from
  int wakeup;  // wakes the supervisor when a sync has failed
};

// Supervisor. False: the inbox is full, the syncer takes nothing from it.
[[nodiscard]] bool send_log(int inbox, int log, std::uint32_t epoch);

[[noreturn]] void run_syncer(const SyncerContext& context);

}  // namespace kilofork
