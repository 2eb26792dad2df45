// Which child has which slot of the scoreboard, and how children are accounted for. Runs in the
// supervisor alone; makes no system call, so that its tests need no process.
//
// Invariant: a slot is occupied exactly while its member is a pid; the roster alone makes it so.
// Every fork and every end is counted once, by its cause.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/cause.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/sizing.hpp"

namespace kilofork {

struct Member {
  pid_t pid;            // 0: none
  Cause cause;          // of the fork that is owed, or of the order that it was given
  bool pending;         // the slot is vacant, and is to get a successor
  Nanoseconds told_at;  // when it was told to leave; 0: it was not
};

class Roster {
 public:
  static std::size_t bytes(std::size_t slots) { return slots * sizeof(Member); }
  // `memory`: zeroed, bytes() of it, kept by the caller.
  Roster(Scoreboard& scoreboard, std::span<std::byte> memory);

  [[nodiscard]] std::span<const Member> members() const { return members_; }
  [[nodiscard]] std::size_t alive() const { return alive_; }
  [[nodiscard]] std::size_t pending() const { return pending_; }
  [[nodiscard]] std::optional<std::size_t> find(pid_t pid) const;
  // The first slot from there on that is vacant, and owed to nobody.
  [[nodiscard]] std::optional<std::size_t> find_vacant(std::size_t from) const;
  // Children that wait for a client, have not been told to leave, and have waited longest.
  [[nodiscard]] std::vector<std::size_t> find_idle(std::size_t count) const;
  // Those that are owed count as alive and idle: they will be in a moment.
  [[nodiscard]] Census census(std::size_t waiting) const;

  void add_pending(std::size_t index, Cause cause);
  // Before the fork, which counts from here on; then confirm(), or cancel() when there was none.
  void reserve(std::size_t index, Cause cause, std::uint32_t log_epoch);
  void confirm(std::size_t index, pid_t pid, Cause cause);
  void cancel(std::size_t index, Cause cause);
  void mark_leaving(std::size_t index, Cause cause, Nanoseconds now);
  // Of an end as of waitpid(2).
  [[nodiscard]] Cause cause_of_end(std::size_t index, int status, bool stopping) const;
  // What it has counted stays in the slot. Unless the pool was to shrink or the server stops, a
  // successor is owed. Returns the cause of the end.
  Cause remove(std::size_t index, int status, bool stopping);
  // A new executable of the supervisor takes over what the last one knew.
  void adopt(std::size_t index, const Member& member);

 private:
  Scoreboard& scoreboard_;
  std::span<Member> members_;
  std::size_t alive_ = 0;
  std::size_t pending_ = 0;
};

}  // namespace kilofork
