// What the parts of the pool share: growth, replacement, shutdown. Runs in the supervisor.
#pragma once

#include <cstddef>

#include "base/cause.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/control.hpp"
#include "supervisor/keeper_link.hpp"
#include "supervisor/roster.hpp"
#include "supervisor/settings.hpp"
#include "supervisor/sizing.hpp"
#include "supervisor/spawn_record.hpp"

namespace kilofork {

struct PoolParts {
  const PoolSettings& settings;
  Scoreboard& scoreboard;
  const Control& control;
  Roster& roster;
  SpawnRecord& record;
  KeeperLink& keeper;
  Census census{};  // of the last sample

  // Orders a child to leave once its client has left.
  void retire(std::size_t index, Cause cause);
  // And the keeper.
  void signal_children(int signal) const;
};

}  // namespace kilofork
