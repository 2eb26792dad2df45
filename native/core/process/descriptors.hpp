// The descriptors that the supervisor is started with, and how a forked process closes all but
// those that it keeps. supervisor/pool_descriptors.hpp lists them for each process. close_range(2).
#pragma once

#include <vector>

namespace kilofork {

// What the supervisor is started with, beside 0, 1 and 2.
enum SupervisorFd : int {
  kControlFd = 3,   // stream socket to the front, see supervisor/control.hpp
  kListenerFd = 4,  // the listening socket
  kLogFd = 5,       // the log, opened for appending and locked
  kSegmentFd = 6,   // the shared memory, locked
  kLifelineFd = 7,  // stream socket to the front: at its end of file, the front is gone; the front
                    // sees one when the supervisor and all that it forked are gone
  kSpawnLogFd = 8,  // a file for the spawn record, or /dev/null
  kFirstFreeFd = 9,
};

// Called by a process that was just forked: closes all descriptors but these and 0, 1 and 2.
void keep_only(std::vector<int> kept);

// Has exec close the descriptors from `first` on. Safe between fork(2) and exec of a program with
// threads.
void close_on_exec(int first);

}  // namespace kilofork
