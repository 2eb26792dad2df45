#include "supervisor/replacement.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace kilofork {

namespace {

// At any time, one of so many parts of the pool may be on its way out or in.
constexpr std::size_t kParts = 16;
// A child that has not left by then is stopped or stuck, and no longer waited for.
constexpr Nanoseconds kLeavesWithin = kSecond;

}  // namespace

void Replacement::order(std::string executable) {
  ordered_ = true;
  executable_ = std::move(executable);
}

std::string Replacement::begin() {
  ordered_ = false;
  running_ = true;
  next_ = 0;
  parts_.scoreboard.header().child_epoch.fetch_add(1, std::memory_order_release);
  return std::exchange(executable_, {});
}

// Tells idle children first: the others leave only when their clients do.
void Replacement::retire_some() {
  const Nanoseconds now = monotonic_now();
  if (!running_ || now < next_) return;
  const auto members = parts_.roster.members();
  const std::uint32_t epoch = parts_.scoreboard.header().child_epoch.load();
  std::size_t on_the_way = parts_.roster.pending();
  std::vector<std::size_t> idle;
  std::vector<std::size_t> busy;
  bool old_are_left = false;
  for (std::size_t i = 0; i < members.size(); i++) {
    if (members[i].pid == 0) continue;
    const Slot& slot = parts_.scoreboard.slots()[i];
    const State state = slot.occupancy().state;
    const bool serves = state >= State::reading && state <= State::replying;
    const bool old = slot.child_epoch.load(std::memory_order_relaxed) != epoch;
    old_are_left = old_are_left || old;
    const Nanoseconds told_at = members[i].told_at;
    const bool leaves = told_at > 0 && !serves && now < told_at + kLeavesWithin;
    if (state == State::starting || leaves) on_the_way++;
    if (old && told_at == 0) (serves ? busy : idle).push_back(i);
  }
  idle.insert(idle.end(), busy.begin(), busy.end());
  const std::size_t part = std::max<std::size_t>(parts_.roster.alive() / kParts, 1);
  const std::size_t room = part > on_the_way ? part - on_the_way : 0;
  for (std::size_t i = 0; i < std::min(room, idle.size()); i++)
    parts_.retire(idle[i], Cause::replaced);
  // Once all have been told, the end of a child is what brings the loop back here.
  next_ = idle.size() > room ? now + Sizing::kSampleEvery : old_are_left ? kNever : 0;
  if (old_are_left) return;
  running_ = false;
  parts_.record.write("pool: all children are of generation " + std::to_string(epoch));
  parts_.control.send("replaced");
}

}  // namespace kilofork
