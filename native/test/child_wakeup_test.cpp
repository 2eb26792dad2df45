// How a child wakes a parked supervisor: when it changes from idle to busy or back.
#include <poll.h>

#include <algorithm>
#include <random>
#include <span>

#include "check.hpp"
#include "child_harness.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::greeting_of;
using check::Process;
using check::reply_of;
using check::TestClient;

#ifdef __SANITIZE_ADDRESS__
constexpr int kChanges = 6'000;
#else
constexpr int kChanges = 30'000;
#endif

std::uint64_t wakeups(const ChildHarness& harness) {
  std::uint64_t count = 0;
  return ::read(harness.wakeup.get(), &count, sizeof count) > 0 ? count : 0;
}

std::atomic<std::uint32_t>& parked(const ChildHarness& harness) {
  return harness.board.header().supervisor_parked;
}

// When this returns, the child will wake nobody until the client leaves.
TestClient greeted(const ChildHarness& harness, const Process& child) {
  TestClient client(harness.port());
  CHECK_EQ(client.line(), greeting_of(child));
  return client;
}

TEST("a supervisor that is not parked is not woken") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  for (int i = 0; i < 100; i++) {
    TestClient client = greeted(harness, child);
    client.send("arijort:lalala\n");
    CHECK_EQ(client.line(), reply_of(child, "lalala"));
  }
  (void)greeted(harness, child);
  CHECK_EQ(wakeups(harness), 0);
  CHECK_EQ(parked(harness).load(), 0);
}

TEST("a child wakes a parked supervisor when it becomes idle, and when it gets a client") {
  for (const std::uint32_t awaited : {0U, 1U}) {
    ChildHarness harness;
    parked(harness) = awaited;
    const Process child = harness.fork_child();  // waits for a wakeup
    (void)greeted(harness, child);
    CHECK_EQ(wakeups(harness) > 0, awaited == 1);
  }
}

TEST("the end of a connection wakes") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  for (int i = 0; i < 100; i++) {
    TestClient client = greeted(harness, child);
    parked(harness) = 1;
    client.abort();
    CHECK(check::holds_in_time([&] { return wakeups(harness) > 0; }));
    parked(harness) = 0;
    (void)greeted(harness, child);
    CHECK_EQ(wakeups(harness), 0);
  }
}

TEST("a busy child that stays busy does not wake") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  TestClient client = greeted(harness, child);
  parked(harness) = 1;
  for (int i = 0; i < 100; i++) {
    client.send("arijort:lalala\n");
    CHECK_EQ(client.line(), reply_of(child, "lalala"));
  }
  CHECK_EQ(wakeups(harness), 0);
  CHECK_EQ(parked(harness).load(), 1);
}

// ---- many children ----------------------------------------------------------------------------

constexpr std::size_t kChildren = 8;

TEST("each of many children wakes, so a child that is stopped before it does loses no wakeup") {
  ChildHarness harness(check::make_service(), check::file("log"), kChildren);
  const std::span<Slot> slots = harness.board.slots();
  const ChildContext context = harness.make_context();
  std::vector<Process> children;
  for (std::size_t i = 0; i < kChildren; i++)
    children.emplace_back([&, i] {
      harness.front_end.reset();
      ChildSignals signals;
      set_up_signals_of_children(signals);
      run_child(context, slots[i], slots[i].word);
    });
  std::uint64_t woken = 0;
  CHECK(check::holds_in_time([&] { return (woken += wakeups(harness)) == kChildren; }));
  parked(harness) = 1;
  std::vector<TestClient> clients;
  for (std::size_t i = 0; i < kChildren; i++) clients.emplace_back(harness.port());
  for (TestClient& client : clients) CHECK(client.line().starts_with("this is server"));
  CHECK_EQ(wakeups(harness), kChildren);
  CHECK_EQ(parked(harness).load(), 1);
}

// ---- the race ---------------------------------------------------------------------------------

// Parks as the supervisor does: sets the flag, reads the state once more, then waits for the
// wakeup, until the slot's state is no longer `seen`. True if it has slept.
bool park_until_changed(const ChildHarness& harness, State seen) {
  const auto changed = [&] { return harness.slot().occupancy().state != seen; };
  constexpr int kFarTooLong = 5000;  // ms
  bool slept = false;
  while (!changed()) {
    parked(harness).store(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (changed()) break;
    slept = true;
    pollfd wakeup{.fd = harness.wakeup.get(), .events = POLLIN, .revents = 0};
    CHECK_EQ(::poll(&wakeup, 1, kFarTooLong), 1);
    (void)wakeups(harness);
  }
  parked(harness).store(0);
  return slept;
}

// The delay before parking: random, or close to the moment when the child changes its state, which
// is learned from the round before.
class Moment {
 public:
  explicit Moment(Nanoseconds longest) : random_delays_(0, longest), learned_(longest / 2) {}

  template <typename Park>
  void meet(bool at_random, Park park) {
    const Nanoseconds delay = at_random ? random_delays_(random_) : learned_;
    for (const Nanoseconds until = monotonic_now() + delay; monotonic_now() < until;) continue;
    const bool slept = park();
    if (!at_random) learned_ = std::max<Nanoseconds>(learned_ + (slept ? kStep : -kStep), 0);
  }

 private:
  static constexpr Nanoseconds kStep = 100;
  std::mt19937 random_{17};
  std::uniform_int_distribution<Nanoseconds> random_delays_;
  Nanoseconds learned_;
};

TEST("a supervisor that sets the flag and then reads the state misses no change") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  Moment accepts(40 * kMicrosecond);
  Moment ends(20 * kMicrosecond);
  for (int i = 0; i < kChanges / 2; i++) {
    const bool at_random = i % 4 == 0;
    TestClient client(harness.port());
    accepts.meet(at_random, [&] { return park_until_changed(harness, State::idle); });
    client.abort();
    ends.meet(at_random, [&] { return park_until_changed(harness, State::reading); });
  }
}

}  // namespace
}  // namespace kilofork
