// Which child has which slot. No process is forked: the test invents pids and statuses of
// waitpid(2), and writes the states into the slots.
#include "supervisor/roster.hpp"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <random>

#include "check.hpp"
#include "child/child.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

constexpr int exit_of(int code) {
  return W_EXITCODE(code, 0);
}
constexpr int signal_of(int signal) {
  return W_EXITCODE(0, signal);
}

Scoreboard make_board(std::uint32_t slots) {
  Scoreboard board = Scoreboard::create(check::segment_name(), slots, 1, {});
  Segment::remove(check::segment_name());
  return board;
}

// A roster and what it needs.
struct Rostered {
  explicit Rostered(std::uint32_t slots)
      : board(make_board(slots)), memory(Roster::bytes(slots)), roster(board, memory) {}

  void bear(std::size_t index, pid_t pid, Cause cause = Cause::start) {
    roster.reserve(index, cause, 0);
    roster.confirm(index, pid, cause);
    enter(index, State::starting);
  }
  void enter(std::size_t index, State state, std::int64_t since = 0) {
    board.slots()[index].enter(roster.members()[index].pid, state, since);
  }
  [[nodiscard]] State state(std::size_t index) const {
    return board.slots()[index].occupancy().state;
  }

  Scoreboard board;
  std::vector<std::byte> memory;
  Roster roster;
};

// Each way to end, and its cause if the child was not told to leave.
const std::vector<std::pair<int, Cause>> kEnds = [] {
  std::vector<std::pair<int, Cause>> ends{{exit_of(kExitOrdered), Cause::asked},
                                          {exit_of(kExitRecycled), Cause::recycled},
                                          {exit_of(kExitAborted), Cause::cut},
                                          {exit_of(kExitSick), Cause::sick},
                                          {exit_of(kExitStuck), Cause::work_timeout},
                                          {exit_of(1), Cause::crashed},
                                          {exit_of(2), Cause::crashed},
                                          {exit_of(127), Cause::crashed},
                                          {exit_of(255), Cause::crashed}};
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS, SIGTRAP}) {
    ends.emplace_back(signal_of(signal), Cause::crashed);
    ends.emplace_back(signal_of(signal) | WCOREFLAG, Cause::crashed);
  }
  for (const int signal : {SIGKILL, SIGTERM, SIGQUIT, SIGINT, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE})
    ends.emplace_back(signal_of(signal), Cause::killed);
  return ends;
}();

TEST("in a new roster all slots are vacant, and none is pending") {
  const Rostered rostered(3);
  const Roster& roster = rostered.roster;
  CHECK_EQ(roster.members().size(), 3);
  CHECK_EQ(roster.alive() + roster.pending(), 0);
  CHECK_EQ(roster.find_vacant(0).value(), 0);
  CHECK_EQ(roster.find_vacant(2).value(), 2);
  CHECK(!roster.find_vacant(3));
  CHECK(!roster.find(17));
  CHECK(roster.find_idle(10).empty());
  CHECK(roster.census(7) == (Census{.alive = 0, .idle = 0, .waiting = 7, .finished = 0}));
}

TEST("a reserved slot is occupied, by a child of the present epoch and log") {
  Rostered rostered(2);
  rostered.board.header().child_epoch = 5;
  rostered.board.slots()[1].total = 1000;
  rostered.roster.reserve(1, Cause::queue, 9);
  CHECK_EQ(rostered.state(1), State::starting);
  CHECK_EQ(rostered.board.slots()[1].log_epoch.load(), 9);
  CHECK_EQ(rostered.board.slots()[1].child_epoch.load(), 5);
  rostered.roster.confirm(1, 17, Cause::queue);
  CHECK_EQ(rostered.roster.find(17).value(), 1);
  CHECK_EQ(rostered.roster.alive(), 1);
  CHECK_EQ(rostered.board.header().forked.at(static_cast<std::size_t>(Cause::queue)).load(), 1);
  CHECK_EQ(rostered.board.slots()[1].total.load(), 1000);
}

TEST("a fork that fails leaves the slot vacant or pending, as it was, and is not counted") {
  Rostered rostered(2);
  rostered.roster.add_pending(0, Cause::killed);
  for (std::size_t index = 0; index < 2; index++) {
    rostered.roster.reserve(index, Cause::killed, 0);
    CHECK_EQ(rostered.state(index), State::starting);
    rostered.roster.cancel(index, Cause::killed);
    CHECK_EQ(rostered.state(index), State::vacant);
  }
  CHECK_EQ(rostered.roster.pending(), 1);
  CHECK_EQ(rostered.roster.alive(), 0);
  CHECK_EQ(rostered.roster.find_vacant(0).value(), 1);
  for (const auto& count : rostered.board.header().forked) CHECK_EQ(count.load(), 0);
}

TEST("each end has its cause, and is counted by it") {
  Rostered rostered(1);
  std::array<std::uint64_t, kCauses> counts{};
  for (const auto& [status, cause] : kEnds) {
    rostered.bear(0, 17);
    CHECK_EQ(rostered.roster.remove(0, status, false), cause);
    counts.at(static_cast<std::size_t>(cause))++;
    for (std::size_t i = 0; i < kCauses; i++)
      CHECK_EQ(rostered.board.header().ended.at(i).load(), counts.at(i));
  }
}

TEST("the cause of an ordered end is that of the order, or the stop of the server") {
  Rostered rostered(1);
  for (const Cause order : {Cause::idle, Cause::replaced, Cause::recycled}) {
    rostered.bear(0, 17);
    rostered.roster.mark_leaving(0, order, 1);
    CHECK_EQ(rostered.roster.remove(0, exit_of(kExitOrdered), false), order);
    if (rostered.roster.members()[0].pending) rostered.bear(0, 18, order);
    if (rostered.roster.alive() == 0) rostered.bear(0, 18);
    rostered.roster.mark_leaving(0, order, 1);
    CHECK_EQ(rostered.roster.remove(0, exit_of(kExitOrdered), true), Cause::stopped);
  }
}

TEST("a child that dies after it was told to leave has died") {
  Rostered rostered(1);
  for (const auto& [status, cause] : kEnds) {
    if (status == exit_of(kExitOrdered)) continue;
    rostered.bear(0, 17);
    rostered.roster.mark_leaving(0, Cause::replaced, 1);
    CHECK_EQ(rostered.roster.remove(0, status, false), cause);
  }
}

TEST("a successor is pending for each end, unless the pool was to shrink or the server stops") {
  for (const bool stopping : {false, true}) {
    for (const auto& [status, cause] : kEnds) {
      for (const int order :
           {-1, static_cast<int>(Cause::idle), static_cast<int>(Cause::replaced)}) {
        Rostered rostered(1);
        rostered.bear(0, 17);
        if (order >= 0) rostered.roster.mark_leaving(0, static_cast<Cause>(order), 1);
        const Cause end = rostered.roster.remove(0, status, stopping);
        const bool pending = !stopping && order != static_cast<int>(Cause::idle);
        CHECK_EQ(rostered.roster.pending(), pending ? 1 : 0);
        CHECK_EQ(rostered.roster.members()[0].pending, pending);
        CHECK_EQ(rostered.roster.members()[0].told_at, 0);
        CHECK_EQ(rostered.roster.find_vacant(0).has_value(), !pending);
        CHECK_EQ(rostered.state(0), State::vacant);
        if (pending) CHECK_EQ(rostered.roster.members()[0].cause, end);
      }
    }
  }
}

TEST("a child whose fork has the cause of an order was not given that order") {
  Rostered rostered(1);
  rostered.bear(0, 17, Cause::idle);
  CHECK_EQ(rostered.roster.remove(0, exit_of(kExitOrdered), false), Cause::asked);
  CHECK_EQ(rostered.roster.pending(), 1);
}

TEST("idle children are found, the longest first, without those that were told to leave") {
  Rostered rostered(8);
  for (std::size_t i = 0; i < 7; i++) rostered.bear(i, static_cast<pid_t>(100 + i));
  rostered.enter(0, State::idle, 50);
  rostered.enter(1, State::idle, 10);
  rostered.enter(2, State::idle, 1);
  rostered.roster.mark_leaving(2, Cause::idle, 1);
  rostered.enter(3, State::working, 2);
  rostered.enter(4, State::idle, 30);
  rostered.enter(5, State::stopping, 3);
  const auto indices = [&](std::size_t count) { return rostered.roster.find_idle(count); };
  CHECK(indices(0).empty());
  CHECK(indices(1) == std::vector<std::size_t>{1});
  CHECK(indices(2) == (std::vector<std::size_t>{1, 4}));
  CHECK(indices(100) == (std::vector<std::size_t>{1, 4, 0}));
}

TEST("the census counts each child by what it does") {
  Rostered rostered(10);
  constexpr std::array kStates{State::starting, State::idle,     State::reading,
                               State::working,  State::replying, State::stopping};
  for (std::size_t i = 0; i < kStates.size(); i++) {
    rostered.bear(i, static_cast<pid_t>(100 + i));
    rostered.enter(i, kStates.at(i));
    rostered.board.slots()[i].connections = 10;
  }
  rostered.roster.add_pending(6, Cause::killed);
  rostered.board.slots()[7].connections = 500;  // of children that are gone
  // 560 connections have come, and three are still there.
  const Census before{.alive = 7, .idle = 3, .waiting = 4, .finished = 557};
  CHECK(rostered.roster.census(4) == before);
  // Children that were told to leave are no longer idle; their clients have not left.
  for (std::size_t i = 0; i < kStates.size(); i++)
    rostered.roster.mark_leaving(i, Cause::replaced, 1);
  const Census after{.alive = 7, .idle = 1, .waiting = 4, .finished = 557};
  CHECK(rostered.roster.census(4) == after);
}

// ---- the long run -----------------------------------------------------------------------------

constexpr std::uint32_t kSlots = 48;

// Has a model of the pool, and compares the roster with it.
class LongRun {
 public:
  explicit LongRun(unsigned seed) : random_(seed) {}

  void round(int number) {
    // The pool grows, shrinks and is replaced in turns, and children die all the time.
    switch (number / 200 % 3) {
      case 0:
        if (chance(70)) grow();
        if (chance(5)) tell_some(Cause::replaced);
        break;
      case 1:
        if (chance(30)) tell_some(Cause::idle);
        if (chance(5)) grow();
        break;
      default:
        if (chance(40)) tell_some(Cause::replaced);
        break;
    }
    if (chance(60)) fork_pending();
    for (int i = 0; i < 5; i++) serve();
    if (chance(50)) end_one(false);
    if (chance(2)) replace_executable();
    compare();
  }
  void stop() {
    while (!living_.empty()) {
      end_one(true);
      compare();
    }
    CHECK_EQ(sum(forked_), sum(ended_));
  }
  [[nodiscard]] std::uint64_t births() const { return sum(forked_); }
  [[nodiscard]] const std::array<std::uint64_t, kCauses>& ends() const { return ended_; }

 private:
  struct Living {
    pid_t pid;
    State state;
    std::optional<Cause> order;
  };
  using Counts = std::array<std::uint64_t, kCauses>;

  static std::uint64_t sum(const Counts& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  }
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }
  bool chance(std::size_t percent) { return below(100) < percent; }
  std::map<std::size_t, Living>::iterator some_living() {
    return std::next(living_.begin(), static_cast<std::ptrdiff_t>(below(living_.size())));
  }

  // Pids are used again as soon as they are free.
  pid_t free_pid() {
    for (;;) {
      const auto pid = static_cast<pid_t>(1 + below(kSlots * 2));
      if (std::none_of(living_.begin(), living_.end(),
                       [pid](const auto& entry) { return entry.second.pid == pid; }))
        return pid;
    }
  }
  void fork_at(std::size_t index, Cause cause) {
    roster_->reserve(index, cause, 0);
    if (chance(10)) {
      roster_->cancel(index, cause);
      return;
    }
    const pid_t pid = free_pid();
    roster_->confirm(index, pid, cause);
    living_[index] = {.pid = pid, .state = State::starting, .order = {}};
    pending_.erase(index);
    forked_.at(static_cast<std::size_t>(cause))++;
  }
  void grow() {
    const std::size_t from = below(kSlots);
    const auto vacant = roster_->find_vacant(from);
    std::size_t expected = from;
    while (expected < kSlots && (living_.contains(expected) || pending_.contains(expected)))
      expected++;
    CHECK_EQ(vacant.value_or(kSlots), expected);
    if (vacant) fork_at(*vacant, chance(50) ? Cause::queue : Cause::spare_low);
  }
  void fork_pending() {
    const auto pending = pending_;
    for (const auto& [index, cause] : pending) {
      CHECK_EQ(roster_->members()[index].cause, cause);
      fork_at(index, cause);
    }
  }
  void tell_some(Cause cause) {
    const auto idle = roster_->find_idle(1 + below(4));
    for (const std::size_t index : idle) {
      Living& child = living_.at(index);
      CHECK_EQ(child.state, State::idle);
      CHECK(!child.order);
      roster_->mark_leaving(index, cause, 1);
      child.order = cause;
    }
  }
  // Some child takes its next step.
  void serve() {
    if (living_.empty()) return;
    const auto& [index, child] = *some_living();
    Slot& slot = board_.slots()[index];
    State next = State::idle;
    switch (child.state) {
      case State::idle:
        next = child.order ? State::stopping : State::reading;
        if (next == State::reading) connections_.at(index)++, slot.connections++;
        break;
      case State::reading:
        next = chance(50) ? State::working : State::idle;
        break;
      case State::working:
        next = State::replying;
        break;
      case State::replying:
        next = State::reading;
        totals_.at(index)++, slot.total++;
        break;
      case State::stopping:
        next = State::stopping;
        break;
      default:
        break;
    }
    living_.at(index).state = next;
    slot.enter(child.pid, next, static_cast<std::int64_t>(below(1000)));
  }
  void end_one(bool stopping) {
    if (living_.empty()) return;
    const auto found = some_living();
    const auto [index, child] = *found;
    auto [status, expected] = kEnds[below(kEnds.size())];
    if (child.order && chance(50)) status = exit_of(kExitOrdered), expected = Cause::asked;
    if (expected == Cause::asked && stopping) expected = Cause::stopped;
    if (expected == Cause::asked && child.order) expected = *child.order;
    CHECK_EQ(roster_->find(child.pid).value_or(kSlots), index);
    CHECK_EQ(roster_->remove(index, status, stopping), expected);
    living_.erase(found);
    ended_.at(static_cast<std::size_t>(expected))++;
    if (!stopping && child.order != Cause::idle) pending_[index] = expected;
  }
  // Only the members go from one roster to the next.
  void replace_executable() {
    const std::vector<Member> known(roster_->members().begin(), roster_->members().end());
    std::fill(memory_.begin(), memory_.end(), std::byte{});
    roster_.emplace(board_, memory_);
    for (std::size_t i = 0; i < known.size(); i++)
      if (known[i].pid != 0 || known[i].pending) roster_->adopt(i, known[i]);
  }

  void compare() const {
    CHECK_EQ(roster_->alive(), living_.size());
    CHECK_EQ(roster_->pending(), pending_.size());
    Census census{.alive = living_.size() + pending_.size(),
                  .idle = pending_.size(),
                  .waiting = 3,
                  .finished = 0};
    for (std::size_t i = 0; i < kSlots; i++) {
      const Slot& slot = board_.slots()[i];
      const Member& member = roster_->members()[i];
      const auto living = living_.find(i);
      const bool alive = living != living_.end();
      CHECK_EQ(slot.occupancy().state != State::vacant, alive);
      CHECK_EQ(member.pid, alive ? living->second.pid : 0);
      CHECK_EQ(member.told_at != 0, alive && living->second.order.has_value());
      CHECK_EQ(member.pending, pending_.contains(i));
      CHECK_EQ(slot.total.load(), totals_.at(i));
      CHECK_EQ(slot.connections.load(), connections_.at(i));
      census.finished += static_cast<std::int64_t>(connections_.at(i));
      if (!alive) continue;
      const State state = living->second.state;
      if ((state == State::starting || state == State::idle) && !living->second.order)
        census.idle++;
      if (state == State::reading || state == State::working || state == State::replying)
        census.finished--;
    }
    CHECK(roster_->census(3) == census);
    CHECK_EQ(board_.total(), std::accumulate(totals_.begin(), totals_.end(), std::uint64_t{0}));
    for (std::size_t i = 0; i < kCauses; i++) {
      CHECK_EQ(board_.header().forked.at(i).load(), forked_.at(i));
      CHECK_EQ(board_.header().ended.at(i).load(), ended_.at(i));
    }
    CHECK_EQ(sum(forked_), living_.size() + sum(ended_));
    std::size_t vacant = 0;
    for (auto at = roster_->find_vacant(0); at; at = roster_->find_vacant(*at + 1)) vacant++;
    CHECK_EQ(vacant + roster_->alive() + roster_->pending(), kSlots);
  }

  std::mt19937 random_;
  Scoreboard board_ = make_board(kSlots);
  std::vector<std::byte> memory_{Roster::bytes(kSlots)};
  std::optional<Roster> roster_{std::in_place, board_, memory_};

  std::map<std::size_t, Living> living_;  // by their slots
  std::map<std::size_t, Cause> pending_;
  std::array<std::uint64_t, kSlots> totals_{};
  std::array<std::uint64_t, kSlots> connections_{};
  Counts forked_{};
  Counts ended_{};
};

TEST("thousands of births, orders and deaths leak no slot, and lose or double no count") {
  for (const unsigned seed : {1U, 17U, 4711U}) {
    LongRun run(seed);
    for (int i = 0; i < 5000; i++) run.round(i);
    run.stop();
    CHECK(run.births() > 1000);
    for (const Cause cause :
         {Cause::idle, Cause::recycled, Cause::replaced, Cause::asked, Cause::cut, Cause::crashed,
          Cause::killed, Cause::sick, Cause::work_timeout, Cause::stopped})
      CHECK(run.ends().at(static_cast<std::size_t>(cause)) > 0);
  }
}

}  // namespace
}  // namespace kilofork
