// The log writer: a process that copies the spool to the log's reader, for all children that wait
// for that (log/spool.hpp, shm/group_commit.hpp). Forked by the supervisor
// (supervisor/log_manager.cpp) in the place of the syncer.
//
// The header says how long the reader has taken nothing, and the error that children refuse
// requests with: the reader stalls, is gone, or too much waits. A sync fails if the reader stalls
// or is gone; its records stay in the spool, and retractions follow them there.
//
// It ends by SIGTERM when the reader has no room, and by SIGKILL with the supervisor
// (PR_SET_PDEATHSIG). It may be killed at any time.
#pragma once

#include <sys/types.h>

#include "base/clock.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {

struct LogWriterContext {
  Scoreboard& scoreboard;
  pid_t supervisor;
  int spool;
  int reader;
  int wakeup;  // wakes the supervisor when the error of the log changes
  // A reader that takes nothing for so long stalls.
  Nanoseconds patience = 5 * kSecond;
  // Bytes that may wait for the reader.
  off_t most_waiting = 16 << 20;
};

// The new process, after it has closed what it does not keep.
[[noreturn]] void run_log_writer(const LogWriterContext& context);

}  // namespace kilofork
