// Which child has which slot, and which slots wait for a successor. Runs in the supervisor. Makes
// no system call, so its tests need no process.
//
// Invariants: a slot has a child exactly while its member has a pid, and only the roster changes
// that. Every fork and every end is counted once, by its cause.
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
  Cause cause;          // of the pending fork, or of the order to leave
  bool pending;         // the slot is vacant and gets a successor
  Nanoseconds told_at;  // when it was told to leave; 0: never
};

class Roster {
 public:
  static std::size_t bytes(std::size_t slots) { return slots * sizeof(Member); }
  // `memory`: bytes() of zeroed memory; the caller keeps it.
  Roster(Scoreboard& scoreboard, std::span<std::byte> memory);

  [[nodiscard]] std::span<const Member> members() const { return members_; }
  [[nodiscard]] std::size_t alive() const { return alive_; }
  [[nodiscard]] std::size_t pending() const { return pending_; }
  [[nodiscard]] std::optional<std::size_t> find(pid_t pid) const;
  // The first slot from there on that is vacant and not pending.
  [[nodiscard]] std::optional<std::size_t> find_vacant(std::size_t from) const;
  // Up to `count` idle children that were not told to leave; those that are idle longest come
  // first.
  [[nodiscard]] std::vector<std::size_t> find_idle(std::size_t count) const;
  // `waiting`: clients in the accept queue. Pending successors count as alive and idle.
  [[nodiscard]] Census census(std::size_t waiting) const;

  void add_pending(std::size_t index, Cause cause);
  // Called before a fork; counts it. After the fork, confirm(), or cancel() if it failed.
  void reserve(std::size_t index, Cause cause, std::uint32_t log_epoch);
  void confirm(std::size_t index, pid_t pid, Cause cause);
  void cancel(std::size_t index, Cause cause);
  void mark_leaving(std::size_t index, Cause cause, Nanoseconds now);
  // `status`: as of waitpid(2).
  [[nodiscard]] Cause cause_of_end(std::size_t index, int status, bool stopping) const;
  // Called when a child has ended. Its counts stay in the slot. A successor becomes pending, unless
  // the child was retired as surplus or the server stops. Returns the cause of the end.
  Cause remove(std::size_t index, int status, bool stopping);
  // For the next executable of the supervisor: a member that the last one had.
  void adopt(std::size_t index, const Member& member);

 private:
  Scoreboard& scoreboard_;
  std::span<Member> members_;
  std::size_t alive_ = 0;
  std::size_t pending_ = 0;
};

}  // namespace kilofork
