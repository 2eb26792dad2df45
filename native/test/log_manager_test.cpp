// What the supervisor does about the log and its syncer: no record is taken for synced that nobody
// has synced.
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

// Longer than what lies between two syncers.
constexpr Nanoseconds kLater = kSecond;

// A supervisor without children.
struct Stage {
  explicit Stage(Fd first_log, const std::optional<ExecState>& predecessor = std::nullopt)
      : log(std::move(first_log)), manager(parts(), predecessor) {
    Segment::remove(segment_name());
  }
  ~Stage() {
    if (syncer() > 0) on_exit(SIGKILL);
  }

  [[nodiscard]] pid_t syncer() const { return board.header().syncer; }
  void maintain(Nanoseconds after = 0) { manager.maintain(roster, start + after); }
  // Ends the syncer, by a signal unless that is 0.
  void on_exit(int signal) {
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

TEST("a syncer that is killed between two syncs has a successor, which syncs what it left") {
  Stage stage(unsyncable());
  stage.maintain();
  stage.on_exit(SIGKILL);
  CHECK(!stage.commit.is_dead(0));
  const std::uint32_t sync = stage.commit.join();
  stage.maintain(kMillisecond);
  CHECK_EQ(stage.syncer(), 0);  // not at once
  stage.maintain(kLater);
  stage.commit.wait(sync);
  CHECK(stage.commit.is_dead(0));
}

TEST("what was written to a log that is reopened while there is no syncer is synced all the same") {
  for (const bool can_be : {true, false}) {
    Stage stage(can_be ? open_log(file("log")) : unsyncable());
    stage.maintain();
    stage.on_exit(SIGKILL);
    const std::uint32_t sync = stage.commit.join();
    stage.manager.reopen(open_log(file("log-1")), 1, stage.roster);
    stage.commit.wait(sync);
    CHECK_EQ(stage.commit.is_dead(0), !can_be);
  }
}

TEST("or is not acknowledged, where none can be had at that time") {
  Process starved([] {
    Stage stage(open_log(file("log")));
    stage.maintain();
    stage.commit.wait(stage.commit.join());
    stage.on_exit(SIGKILL);
    const std::uint32_t sync = stage.commit.join();
    Fd next = open_log(file("log-1"));
    const rlimit few{.rlim_cur = 64, .rlim_max = 64};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    std::vector<Fd> all;
    do all.emplace_back(::dup(stage.wakeup.get()));
    while (all.back());
    stage.manager.reopen(std::move(next), 1, stage.roster);
    all.clear();
    CHECK_EQ(stage.syncer(), 0);
    stage.maintain(kLater);
    stage.commit.wait(sync);
    CHECK(stage.commit.is_dead(0));
    CHECK(!stage.commit.is_dead(1));
  });
  CHECK_EQ(starved.wait(), 0);
}

TEST("what was written while a syncer left by itself is not acknowledged") {
  Stage stage(open_log(file("log")));
  stage.maintain();
  stage.commit.wait(stage.commit.join());
  CHECK_EQ(::kill(stage.syncer(), SIGTERM), 0);
  siginfo_t ended{};
  CHECK_EQ(::waitid(P_PID, static_cast<id_t>(stage.syncer()), &ended, WEXITED | WNOWAIT), 0);
  const std::uint32_t sync = stage.commit.join();
  stage.manager.reopen(open_log(file("log-1")), 1, stage.roster);
  stage.on_exit(0);
  stage.maintain(kLater);
  stage.commit.wait(sync);
  CHECK(stage.commit.is_dead(0));
  CHECK(!stage.commit.is_dead(1));
}

TEST("a log that is reopened while the syncer is replaced is synced by the next one") {
  Stage stage(open_log(file("log")));
  stage.maintain();
  ExecState predecessor;
  stage.manager.save_to(predecessor);
  predecessor.inbox = ::dup(predecessor.inbox);
  LogManager next(stage.parts(), predecessor);
  next.maintain(stage.roster, stage.start);  // which tells it to leave
  const std::uint32_t sync = stage.commit.join();
  next.reopen(open_log(file("log-1")), 1, stage.roster);
  CHECK(stage.syncer() != predecessor.syncer);
  stage.commit.wait(sync);
  CHECK(!stage.commit.is_dead(0));
}

TEST("a syncer lets go of the old log when the last child has, though nobody waits for a sync") {
  Stage stage(open_log(file("log")));
  stage.maintain();
  for (std::uint32_t epoch = 1; epoch <= 20; epoch++) {
    const std::string name = "log-" + std::to_string(epoch);
    stage.manager.reopen(open_log(file(name)), epoch, stage.roster);
    stage.maintain(epoch * kMillisecond);
    CHECK(holds_in_time([&] { return stage.board.header().oldest_unsynced == epoch; }));
  }
  CHECK(!stage.commit.is_dead(0));
  CHECK_EQ(stage.commit.joined(), 0);
}

TEST("without a syncer, nobody is told to leave in its place") {
  Process group([] {
    CHECK_EQ(::setpgid(0, 0), 0);
    Process last_syncer([] { ::pause(); });
    ExecState predecessor;
    predecessor.syncer = last_syncer.pid();
    Stage stage(open_log(file("log")), predecessor);
    last_syncer.signal(SIGKILL);
    last_syncer.wait();
    stage.manager.on_exit(last_syncer.pid());
    const rlimit none{.rlim_cur = 3, .rlim_max = 3};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);  // so that there is no other one
    stage.maintain();
    CHECK_EQ(stage.syncer(), 0);
    CHECK(stage.manager.next_deadline() > stage.start);
  });
  CHECK_EQ(group.wait(), 0);
}

TEST("what the control channel had no room for is reported again") {
  Stage stage(open_log(file("log")));
  while (stage.control.send("growth-limit none")) continue;
  stage.board.header().log_error = ENOSPC;
  stage.commit.fail_sync(0, EIO);
  stage.maintain();
  CHECK(stage.told().find("sync-failed") == std::string::npos);
  CHECK(stage.manager.next_deadline() < kNever);
  stage.maintain();
  CHECK_EQ(stage.told(),
           "log-error " + std::to_string(ENOSPC) + "\nsync-failed " + std::to_string(EIO) + "\n");
  stage.maintain();
  CHECK_EQ(stage.told(), "");
}

}  // namespace
}  // namespace kilofork
