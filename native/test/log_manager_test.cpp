// How the supervisor manages the log and the syncer: no record counts as synced that is not.
#include "supervisor/log_manager.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>

#include "check.hpp"
#include "log/append_log.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::file;
using check::holds_in_time;
using check::Process;
using check::segment_name;
using check::unsyncable;

// Longer than the supervisor waits between two syncers.
constexpr Nanoseconds kLater = kSecond;

// A supervisor without children.
struct Harness {
  explicit Harness(Fd first_log, const std::optional<ExecState>& predecessor = std::nullopt)
      : log(std::move(first_log)), manager(parts(), predecessor) {
    Segment::remove(segment_name());
  }
  ~Harness() {
    if (syncer() > 0) end_syncer(SIGKILL);
  }

  [[nodiscard]] pid_t syncer() const { return board.header().syncer; }
  void maintain(Nanoseconds after = 0) { manager.maintain(roster, start + after); }
  // Ends the syncer, by a signal unless that is 0, and reports its exit.
  void end_syncer(int signal) {
    const pid_t pid = syncer();
    if (signal != 0) CHECK_EQ(::kill(pid, signal), 0);
    CHECK_EQ(::waitpid(pid, nullptr, 0), pid);
    manager.on_exit(pid);
  }
  // What the front has been told since it was last asked.
  std::string told() {
    std::string lines;
    std::array<char, 4096> bytes{};
    for (ssize_t got = 0;
         (got = ::recv(front.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;)
      lines.append(bytes.data(), static_cast<std::size_t>(got));
    return lines;
  }

  LogManager::Parts parts() {
    return {.scoreboard = board,
            .control = control,
            .record = record,
            .broadcast = broadcast,
            .log = log.get(),
            .epoch = 0,
            .wakeup = wakeup.get(),
            .synced = true,
            .spooled = false,
            .kept_by_syncer = {board.fd(), wakeup.get()}};
  }

  Scoreboard board = Scoreboard::create(segment_name(), 1, 4, {});
  GroupCommit& commit = board.header().commit;
  std::vector<std::byte> memory = std::vector<std::byte>(Roster::bytes(1));
  std::vector<char> buffer = std::vector<char>(SpawnRecord::kBufferBytes);
  Roster roster{board, memory};
  Fd log;
  Fd front;
  Fd end_of_control = connect();
  Fd wakeup{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Fd spawn_log{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Control control{end_of_control.get()};
  SpawnRecord record{log.get(), spawn_log.get(), buffer, board.header().pending};
  LogBroadcast broadcast = make_log_broadcast();
  LogManager manager;
  const Nanoseconds start = monotonic_now();

 private:
  Fd connect() {
    std::array<int, 2> ends{};
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    front.reset(ends[0]);
    return Fd(ends[1]);
  }
};

TEST("a syncer that is killed between two syncs has a successor, which syncs what is left") {
  Harness harness(unsyncable());
  harness.maintain();
  harness.end_syncer(SIGKILL);
  CHECK(!harness.commit.is_dead(0));
  const std::uint32_t sync = harness.commit.join();
  harness.maintain(kMillisecond);
  CHECK_EQ(harness.syncer(), 0);  // not at once
  harness.maintain(kLater);
  harness.commit.wait(sync);
  CHECK(harness.commit.is_dead(0));
}

TEST("a log that is reopened while there is no syncer is synced all the same") {
  for (const bool can_be : {true, false}) {
    Harness harness(can_be ? open_log(file("log")) : unsyncable());
    harness.maintain();
    harness.end_syncer(SIGKILL);
    const std::uint32_t sync = harness.commit.join();
    harness.manager.reopen(open_log(file("log-1")), 1, harness.roster);
    harness.commit.wait(sync);
    CHECK_EQ(harness.commit.is_dead(0), !can_be);
  }
}

TEST("a log that is reopened while no syncer can be started is dead") {
  Process starved([] {
    Harness harness(open_log(file("log")));
    harness.maintain();
    harness.commit.wait(harness.commit.join());
    harness.end_syncer(SIGKILL);
    const std::uint32_t sync = harness.commit.join();
    Fd next = open_log(file("log-1"));
    const rlimit few{.rlim_cur = 64, .rlim_max = 64};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    std::vector<Fd> all;
    do all.emplace_back(::dup(harness.wakeup.get()));
    while (all.back());
    harness.manager.reopen(std::move(next), 1, harness.roster);
    all.clear();
    CHECK_EQ(harness.syncer(), 0);
    harness.maintain(kLater);
    harness.commit.wait(sync);
    CHECK(harness.commit.is_dead(0));
    CHECK(!harness.commit.is_dead(1));
  });
  CHECK_EQ(starved.wait(), 0);
}

TEST("a log that was written to after its syncer had left is dead") {
  Harness harness(open_log(file("log")));
  harness.maintain();
  harness.commit.wait(harness.commit.join());
  CHECK_EQ(::kill(harness.syncer(), SIGTERM), 0);
  siginfo_t ended{};
  CHECK_EQ(::waitid(P_PID, static_cast<id_t>(harness.syncer()), &ended, WEXITED | WNOWAIT), 0);
  const std::uint32_t sync = harness.commit.join();
  harness.manager.reopen(open_log(file("log-1")), 1, harness.roster);
  harness.end_syncer(0);
  harness.maintain(kLater);
  harness.commit.wait(sync);
  CHECK(harness.commit.is_dead(0));
  CHECK(!harness.commit.is_dead(1));
}

TEST("a log that is reopened while the syncer is renewed is synced by the next syncer") {
  Harness harness(open_log(file("log")));
  harness.maintain();
  ExecState predecessor;
  harness.manager.save_to(predecessor);
  predecessor.inbox = ::dup(predecessor.inbox);
  LogManager next(harness.parts(), predecessor);
  next.maintain(harness.roster, harness.start);  // which tells it to leave
  const std::uint32_t sync = harness.commit.join();
  next.reopen(open_log(file("log-1")), 1, harness.roster);
  CHECK(harness.syncer() != predecessor.syncer);
  harness.commit.wait(sync);
  CHECK(!harness.commit.is_dead(0));
}

TEST("a syncer closes the old log when the last child has left it, even if no child waits") {
  Harness harness(open_log(file("log")));
  harness.maintain();
  for (std::uint32_t epoch = 1; epoch <= 20; epoch++) {
    const std::string name = "log-" + std::to_string(epoch);
    harness.manager.reopen(open_log(file(name)), epoch, harness.roster);
    harness.maintain(epoch * kMillisecond);
    CHECK(holds_in_time([&] { return harness.board.header().oldest_unsynced == epoch; }));
  }
  CHECK(!harness.commit.is_dead(0));
  CHECK_EQ(harness.commit.joined(), 0);
}

TEST("without a syncer, no other process is signalled in its place") {
  Process group([] {
    CHECK_EQ(::setpgid(0, 0), 0);
    Process last_syncer([] { ::pause(); });
    ExecState predecessor;
    predecessor.syncer = last_syncer.pid();
    Harness harness(open_log(file("log")), predecessor);
    last_syncer.signal(SIGKILL);
    last_syncer.wait();
    harness.manager.on_exit(last_syncer.pid());
    const rlimit none{.rlim_cur = 3, .rlim_max = 3};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);  // so that there is no other one
    harness.maintain();
    CHECK_EQ(harness.syncer(), 0);
    CHECK(harness.manager.next_deadline() > harness.start);
  });
  CHECK_EQ(group.wait(), 0);
}

TEST("an order that is repeated reaches a child that missed it, and then the log is settled") {
  Harness harness(open_log(file("log")));
  harness.manager.reopen(open_log(file("log-1")), 1, harness.roster);
  Process child([] { ::pause(); });
  harness.roster.adopt(0,
                       {.pid = child.pid(), .cause = Cause::start, .pending = false, .told_at = 0});
  harness.maintain();
  const Fd same(::open(file("log-1").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  harness.manager.reopen(Fd(::dup(same.get())), 1, harness.roster);
  siginfo_t ended{};
  CHECK_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &ended, WEXITED | WNOWAIT), 0);
  CHECK_EQ(ended.si_status, SIGUSR1);  // it was told
  CHECK_EQ(peek_log(harness.broadcast.receive.get())->epoch, 1U);
  CHECK_EQ(harness.board.header().log_settled.load(), 0U);
  harness.board.slots()[0].log_epoch = 1;
  harness.maintain();
  CHECK_EQ(harness.board.header().log_settled.load(), 1U);
}

TEST("what the control channel had no room for is reported again") {
  Harness harness(open_log(file("log")));
  while (harness.control.send("growth-limit none")) continue;
  harness.board.header().log_error = ENOSPC;
  harness.commit.fail_sync(0, EIO);
  harness.maintain();
  CHECK(harness.told().find("sync-failed") == std::string::npos);
  CHECK(harness.manager.next_deadline() < kNever);
  harness.maintain();
  CHECK_EQ(harness.told(),
           "log-error " + std::to_string(ENOSPC) + "\nsync-failed " + std::to_string(EIO) + "\n");
  harness.maintain();
  CHECK_EQ(harness.told(), "");
}

}  // namespace
}  // namespace kilofork
