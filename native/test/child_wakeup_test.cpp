// How a child wakes a parked supervisor: when it changes from idle to busy or back.
#include <poll.h>

#include <algorithm>
#include <random>
#include <span>

#include "check.hpp"
#include "child_stage.hpp"

namespace kilofork {
namespace {

using check::ChildStage;
using check::greeting_of;
using check::Process;
using check::reply_of;
using check::TestClient;

#ifdef __SANITIZE_ADDRESS__
constexpr int kChanges = 6'000;
#else
constexpr int kChanges = 30'000;
#endif

std::uint64_t wakeups(const ChildStage& stage) {
  std::uint64_t count = 0;
  return ::read(stage.wakeup.get(), &count, sizeof count) > 0 ? count : 0;
}

std::atomic<std::uint32_t>& parked(const ChildStage& stage) {
  return stage.board.header().supervisor_parked;
}

// When this returns, the child has passed all wakeups until the client leaves.
TestClient greeted(const ChildStage& stage, const Process& child) {
  TestClient client(stage.port());
  CHECK_EQ(client.line(), greeting_of(child));
  return client;
}

TEST("a supervisor that is not parked is not woken") {
  ChildStage stage;
  const Process child = stage.fork_child();
  for (int i = 0; i < 100; i++) {
    TestClient client = greeted(stage, child);
    client.send("arijort:lalala\n");
    CHECK_EQ(client.line(), reply_of(child, "lalala"));
  }
  (void)greeted(stage, child);
  CHECK_EQ(wakeups(stage), 0);
  CHECK_EQ(parked(stage).load(), 0);
}

TEST("a child wakes a parked supervisor when it becomes idle, and when it gets a client") {
  for (const std::uint32_t awaited : {0U, 1U}) {
    ChildStage stage;
    parked(stage) = awaited;
    const Process child = stage.fork_child();  // has heard a ring
    (void)greeted(stage, child);
    CHECK_EQ(wakeups(stage) > 0, awaited == 1);
  }
}

TEST("the end of a connection wakes") {
  ChildStage stage;
  const Process child = stage.fork_child();
  for (int i = 0; i < 100; i++) {
    TestClient client = greeted(stage, child);
    parked(stage) = 1;
    client.abort();
    CHECK(check::holds_in_time([&] { return wakeups(stage) > 0; }));
    parked(stage) = 0;
    (void)greeted(stage, child);
    CHECK_EQ(wakeups(stage), 0);
  }
}

TEST("a busy child that stays busy does not wake") {
  ChildStage stage;
  const Process child = stage.fork_child();
  TestClient client = greeted(stage, child);
  parked(stage) = 1;
  for (int i = 0; i < 100; i++) {
    client.send("arijort:lalala\n");
    CHECK_EQ(client.line(), reply_of(child, "lalala"));
  }
  CHECK_EQ(wakeups(stage), 0);
  CHECK_EQ(parked(stage).load(), 1);
}

// ---- many children ----------------------------------------------------------------------------

constexpr std::size_t kChildren = 8;

TEST("each of many children wakes, so a child that is stopped before it does loses no wakeup") {
  ChildStage stage(check::make_service(), check::file("log"), kChildren);
  const std::span<Slot> slots = stage.board.slots();
  const ChildContext context = stage.make_context();
  std::vector<Process> children;
  for (std::size_t i = 0; i < kChildren; i++)
    children.emplace_back([&, i] {
      stage.front_end.reset();
      ChildSignals signals;
      set_up_signals_of_children(signals);
      run_child(context, slots[i], slots[i].word);
    });
  std::uint64_t woken = 0;
  CHECK(check::holds_in_time([&] { return (woken += wakeups(stage)) == kChildren; }));
  parked(stage) = 1;
  std::vector<TestClient> clients;
  for (std::size_t i = 0; i < kChildren; i++) clients.emplace_back(stage.port());
  for (TestClient& client : clients) CHECK(client.line().starts_with("this is server"));
  CHECK_EQ(wakeups(stage), kChildren);
  CHECK_EQ(parked(stage).load(), 1);
}

// ---- the race ---------------------------------------------------------------------------------

// Parks as the supervisor does: sets the flag, reads the state once more, then waits for the
// wakeup. Returns when the slot's state is no longer `seen`; must not sleep through the change.
// True if it has slept.
bool park_until_changed(const ChildStage& stage, State seen) {
  const auto changed = [&] { return stage.slot().occupancy().state != seen; };
  constexpr int kFarTooLong = 5000;  // ms
  bool slept = false;
  while (!changed()) {
    parked(stage).store(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (changed()) break;
    slept = true;
    pollfd wakeup{.fd = stage.wakeup.get(), .events = POLLIN, .revents = 0};
    CHECK_EQ(::poll(&wakeup, 1, kFarTooLong), 1);
    (void)wakeups(stage);
  }
  parked(stage).store(0);
  return slept;
}

// The delay before parking: random, or close to the moment when the child changes its state, which
// is learned from the round before.
class Moment {
 public:
  explicit Moment(Nanoseconds longest) : random_delays_(0, longest), learned_(longest / 2) {}

  template <typename Rest>
  void meet(bool at_random, Rest rest) {
    const Nanoseconds delay = at_random ? random_delays_(random_) : learned_;
    for (const Nanoseconds until = monotonic_now() + delay; monotonic_now() < until;) continue;
    const bool slept = rest();
    if (!at_random) learned_ = std::max<Nanoseconds>(learned_ + (slept ? kStep : -kStep), 0);
  }

 private:
  static constexpr Nanoseconds kStep = 100;
  std::mt19937 random_{17};
  std::uniform_int_distribution<Nanoseconds> random_delays_;
  Nanoseconds learned_;
};

TEST("a supervisor that sets the flag and then reads the state misses no change") {
  ChildStage stage;
  const Process child = stage.fork_child();
  Moment accepts(40 * kMicrosecond);
  Moment ends(20 * kMicrosecond);
  for (int i = 0; i < kChanges / 2; i++) {
    const bool at_random = i % 4 == 0;
    TestClient client(stage.port());
    accepts.meet(at_random, [&] { return park_until_changed(stage, State::idle); });
    client.abort();
    ends.meet(at_random, [&] { return park_until_changed(stage, State::reading); });
  }
}

}  // namespace
}  // namespace kilofork
