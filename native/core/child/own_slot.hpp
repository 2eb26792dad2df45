// The slot of this child, which alone writes its state and counts while it runs. Runs in a child.
#pragma once

#include <sys/types.h>

#include "shm/scoreboard.hpp"

namespace kilofork {

struct OwnSlot {
  Scoreboard& scoreboard;
  Slot& slot;
  pid_t pid;

  void enter(State state) const { slot.enter(pid, state, scoreboard.age()); }
};

}  // namespace kilofork
