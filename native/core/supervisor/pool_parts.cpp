#include "supervisor/pool_parts.hpp"

#include <signal.h>

namespace kilofork {

void PoolParts::retire(std::size_t index, Cause cause) {
  const pid_t pid = roster.members()[index].pid;
  roster.mark_leaving(index, cause, monotonic_now());
  record.retires({.pid = pid, .slot = index, .cause = cause}, roster.alive(), census);
  ::kill(pid, SIGTERM);
}

void PoolParts::signal_children(int signal) const {
  for (const Member& member : roster.members())
    if (member.pid != 0) ::kill(member.pid, signal);
  keeper.signal(signal);
}

}  // namespace kilofork
