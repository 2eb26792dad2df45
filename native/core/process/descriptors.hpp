// The descriptors that the supervisor is started with; after them, nothing is open.
#pragma once

namespace kilofork {

enum SupervisorFd : int {
  kControlFd = 3,   // stream socket to the front, see control.hpp
  kListenerFd = 4,  // the listening socket
  kLogFd = 5,       // the log, opened for appending and locked
  kSegmentFd = 6,   // the shared memory, locked
  kLifelineFd = 7,  // stream socket to the front: its end of file means that the front is gone,
                    // and the front's that supervisor and children are
  kSpawnLogFd = 8,  // for the record of spawns: a file, or /dev/null
  kFirstFreeFd = 9,
};

}  // namespace kilofork
