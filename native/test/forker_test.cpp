// Children that the forker forks for another process, their parent.
#include "supervisor/forker.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "check.hpp"
#include "child_harness.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::exited;
using check::holds_in_time;
using check::TestClient;

constexpr std::size_t kSlots = 100;

// The process of the test is the supervisor: it has all signals blocked, and reaps. Lies on the
// heap, since children do not get the stack.
struct Harness {
  static std::unique_ptr<Harness> make() { return std::make_unique<Harness>(); }
  Harness() {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_BLOCK, &all, nullptr);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (std::size_t i = 0; i < kSlots; i++) all_slots.push_back(i);
  }
  ~Harness() {
    for (const Slot& slot : children.board.slots())
      if (const pid_t pid = slot.occupancy().pid; pid > 0) ::kill(pid, SIGKILL);
    if (forker.pid() > 0) ::kill(forker.pid(), SIGKILL);
    (void)holds_in_time([] { return ::waitpid(-1, nullptr, WNOHANG) < 0; });
  }
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  std::vector<pid_t> fork(const std::vector<std::size_t>& slots) {
    since++;  // so that no slot is reserved twice with the same word
    for (const std::size_t slot : slots) board().slots()[slot].enter(0, State::starting, since);
    std::vector<pid_t> pids(slots.size());
    forker.fork_children(slots, pids);
    return pids;
  }
  [[nodiscard]] const Scoreboard& board() const { return children.board; }
  [[nodiscard]] bool all_are_idle() const {
    return holds_in_time([&] {
      const auto slots = board().slots();
      return std::all_of(slots.begin(), slots.end(),
                         [](const Slot& slot) { return slot.occupancy().state == State::idle; });
    });
  }

  ChildHarness children{check::make_service(), check::file("log"), kSlots};
  ChildContext context = children.make_context();
  KeeperLink no_keeper{{.scoreboard = children.board,
                        .service = children.service,
                        .listener = context.listener,
                        .wakeup = context.wakeup,
                        .kept = {}},
                       std::nullopt};
  Forker forker{context,
                {context.listener, context.log, board().fd(), context.lifeline,
                 context.log_broadcast, context.wakeup},
                no_keeper};
  std::vector<std::size_t> all_slots;
  std::int64_t since = 0;
};

TEST("each slot gets a child of the caller, which serves") {
  const auto harness = Harness::make();
  const auto pids = harness->fork(harness->all_slots);
  CHECK(harness->all_are_idle());
  for (std::size_t i = 0; i < kSlots; i++)
    CHECK_EQ(harness->board().slots()[i].occupancy().pid, pids[i]);
  TestClient client(harness->children.port());
  CHECK(client.line().starts_with("this is server thread "));
  client.send("arijort:lalala\n");
  CHECK(client.line().find("lalala") != std::string::npos);
  client.close();
  for (const pid_t pid : pids) {
    int status = 0;
    CHECK_EQ(::kill(pid, SIGTERM), 0);
    CHECK_EQ(::waitpid(pid, &status, 0), pid);
    CHECK(exited(status, kExitOrdered));
  }
}

TEST("a child that cannot be forked has no pid, and errno says why") {
  const auto harness = Harness::make();
  harness->forker.start();
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  if (::getuid() == 0) return;  // the superuser is exempt
  CHECK_EQ(::prlimit(harness->forker.pid(), RLIMIT_NPROC, &none, nullptr), 0);
  const auto pids = harness->fork({3, 4});
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(pids[0] + pids[1], 0);
}

TEST("a forker that was killed is replaced with the next order") {
  const auto harness = Harness::make();
  for (std::size_t round = 0; round < 3; round++) {
    CHECK(harness->fork({round})[0] > 0);
    const pid_t before = harness->forker.pid();
    CHECK_EQ(::kill(before, SIGKILL), 0);
    CHECK_EQ(::waitpid(before, nullptr, 0), before);
    harness->forker.on_exit(before);
    CHECK_EQ(harness->forker.pid(), 0);
  }
}

TEST("a forker that does not answer is given up, and a child that it forks later finds no slot") {
  const auto harness = Harness::make();
  harness->forker.start();
  const pid_t stuck = harness->forker.pid();
  CHECK_EQ(::kill(stuck, SIGSTOP), 0);
  const auto pids = harness->fork({7});
  CHECK_EQ(pids[0], 0);
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(harness->board().slots()[7].occupancy().state, State::vacant);
  CHECK_EQ(harness->forker.pid(), 0);
  CHECK(harness->fork({7})[0] > 0);
  CHECK(
      holds_in_time([&] { return harness->board().slots()[7].occupancy().state == State::idle; }));
}

TEST("when a forker is killed in the middle of an order, no child is lost or counted twice") {
  for (int round = 0; round < 20; round++) {
    const auto harness = Harness::make();
    harness->forker.start();
    const pid_t forker = harness->forker.pid();
    check::Process killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
      ::kill(forker, SIGKILL);
    });
    auto pids = harness->fork(harness->all_slots);
    for (std::size_t i = 0; i < kSlots; i++)
      if (pids[i] == 0) pids[i] = harness->fork({i})[0];
    CHECK(harness->all_are_idle());
    for (std::size_t i = 0; i < kSlots; i++)
      CHECK_EQ(harness->board().slots()[i].occupancy().pid, pids[i]);
    (void)killer.wait();
  }
}

TEST("a child that is no longer expected leaves") {
  ChildHarness harness;
  ChildContext context = harness.make_context();
  check::Process child([&] {
    ChildSignals signals;
    set_up_signals_of_children(signals);
    run_child(context, harness.slot(), harness.slot().word + 1);
  });
  CHECK(exited(child.wait(), kExitOrdered));
  CHECK_EQ(harness.slot().occupancy().pid, 0);
}

TEST("the forker adopts the newest log when told to") {
  const auto harness = Harness::make();
  harness->forker.start();
  const Fd reopened = open_log(check::file("log.new"));
  publish_log(harness->children.log_broadcast, reopened.get(), 1);
  harness->children.board.header().log_epoch = 1;
  harness->forker.follow_log();
  const auto link = "/proc/" + std::to_string(harness->forker.pid()) + "/fd/" +
                    std::to_string(harness->context.log);
  if (::geteuid() == 0)  // only root may look
    CHECK_EQ(std::filesystem::read_symlink(link).string(), check::file("log.new"));
}

// SIGSTOP to the forker has not taken effect yet when its supervisor dies, if it is `stopping`.
void orphan_a_forker(bool stopping) {
  const auto harness = Harness::make();
  check::Process supervisor([&] {
    harness->forker.start();
    harness->board().header().supervisor = ::getpid();  // it has set up its end
    for (;;) ::sleep(1);
  });
  CHECK(holds_in_time([&] { return harness->board().header().supervisor != 0; }));
  const pid_t forker = harness->board().header().forker;
  {
    std::optional<check::Held> holder;
    if (stopping) holder.emplace(forker);
    if (stopping) CHECK_EQ(::kill(forker, SIGSTOP), 0);
    supervisor.signal(SIGKILL);
    (void)supervisor.wait();
  }
  // The test reaps orphans.
  CHECK(holds_in_time([&] { return ::waitpid(forker, nullptr, WNOHANG) == forker; }));
}

TEST("the forker ends with its supervisor") {
  orphan_a_forker(false);
}

TEST("a forker that is about to stop when its supervisor dies ends nevertheless") {
  if (::getuid() != 0) return;  // only root may trace a process that cannot be inspected
  orphan_a_forker(true);
}

}  // namespace
}  // namespace kilofork
