#include "supervisor/roster.hpp"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cassert>

#include "child/child.hpp"
#include "keeper/batch.hpp"

namespace kilofork {

namespace {

// True for the signals that a process gets for its own faults.
bool is_own_fault(int signal) {
  switch (signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGABRT:
    case SIGILL:
    case SIGFPE:
    case SIGSYS:
    case SIGTRAP:
      return true;
    default:
      return false;
  }
}

}  // namespace

Roster::Roster(Scoreboard& scoreboard, std::span<std::byte> memory)
    : scoreboard_(scoreboard),
      members_(reinterpret_cast<Member*>(memory.data()), scoreboard.slots().size()) {
  assert(memory.size() >= bytes(members_.size()));
}

std::optional<std::size_t> Roster::find(pid_t pid) const {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [pid](const Member& member) { return member.pid == pid; });
  if (found == members_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - members_.begin());
}

std::optional<std::size_t> Roster::find_vacant(std::size_t from) const {
  for (std::size_t i = from; i < members_.size(); i++)
    if (members_[i].pid == 0 && !members_[i].pending) return i;
  return std::nullopt;
}

std::vector<std::size_t> Roster::find_idle(std::size_t count) const {
  if (count == 0) return {};
  struct Idle {
    std::int64_t since;
    std::size_t index;
  };
  std::vector<Idle> idle;
  for (std::size_t i = 0; i < members_.size(); i++) {
    if (members_[i].pid == 0 || members_[i].told_at != 0) continue;
    const Occupancy occupancy = scoreboard_.slots()[i].occupancy();
    if (occupancy.state == State::idle) idle.push_back({.since = occupancy.since, .index = i});
  }
  std::sort(idle.begin(), idle.end(),
            [](const Idle& a, const Idle& b) { return a.since < b.since; });
  std::vector<std::size_t> longest;
  for (std::size_t i = 0; i < std::min(count, idle.size()); i++) longest.push_back(idle[i].index);
  return longest;
}

Census Roster::census(std::size_t waiting) const {
  Census census{.alive = alive_ + pending_, .idle = pending_, .waiting = waiting, .finished = 0};
  const auto slots = scoreboard_.slots();
  for (std::size_t i = 0; i < members_.size(); i++) {
    census.finished +=
        static_cast<std::int64_t>(slots[i].connections.load(std::memory_order_relaxed));
    if (members_[i].pid == 0) continue;
    const BatchWord::Value batch = BatchWord(slots[i].batch).get();
    census.waiting += static_cast<std::size_t>(batch.end - batch.next);
    const State state = slots[i].occupancy().state;
    if (state == State::starting || state == State::idle) {
      if (members_[i].told_at == 0) census.idle++;
    } else if (state != State::stopping) {
      census.finished--;  // its present client has not left
    }
  }
  return census;
}

void Roster::add_pending(std::size_t index, Cause cause) {
  Member& member = members_[index];
  assert(member.pid == 0 && !member.pending);
  member = {.pid = 0, .cause = cause, .pending = true, .told_at = 0};
  pending_++;
}

void Roster::reserve(std::size_t index, Cause cause, std::uint32_t log_epoch) {
  scoreboard_.count_fork(cause);
  Slot& slot = scoreboard_.slots()[index];
  slot.log_epoch.store(log_epoch, std::memory_order_relaxed);
  slot.child_epoch.store(scoreboard_.header().child_epoch.load(), std::memory_order_relaxed);
  slot.enter(0, State::starting, scoreboard_.age());
}

void Roster::confirm(std::size_t index, pid_t pid, Cause cause) {
  Member& member = members_[index];
  assert(member.pid == 0);
  if (member.pending) pending_--;
  member = {.pid = pid, .cause = cause, .pending = false, .told_at = 0};
  alive_++;
}

void Roster::cancel(std::size_t index, Cause cause) {
  scoreboard_.count_fork(cause, -1);
  scoreboard_.vacate(index);
}

void Roster::mark_leaving(std::size_t index, Cause cause, Nanoseconds now) {
  members_[index].told_at = now;
  members_[index].cause = cause;
}

Cause Roster::cause_of_end(std::size_t index, int status, bool stopping) const {
  const Member& member = members_[index];
  if (WIFSIGNALED(status)) return is_own_fault(WTERMSIG(status)) ? Cause::crashed : Cause::killed;
  switch (WEXITSTATUS(status)) {
    case kExitOrdered:
      return stopping ? Cause::stopped : member.told_at != 0 ? member.cause : Cause::asked;
    case kExitRecycled:
      return Cause::recycled;
    case kExitAborted:
      return Cause::cut;
    case kExitSick:
      return Cause::sick;
    case kExitStuck:
      return Cause::work_timeout;
    default:
      return Cause::crashed;
  }
}

Cause Roster::remove(std::size_t index, int status, bool stopping) {
  Member& member = members_[index];
  assert(member.pid != 0);
  const Cause cause = cause_of_end(index, status, stopping);
  const bool was_surplus = member.told_at != 0 && member.cause == Cause::idle;
  scoreboard_.count_end(cause);
  scoreboard_.vacate(index);
  member = {};
  alive_--;
  if (!was_surplus && !stopping) add_pending(index, cause);
  return cause;
}

void Roster::adopt(std::size_t index, const Member& member) {
  members_[index] = member;
  (member.pending ? pending_ : alive_)++;
}

}  // namespace kilofork
