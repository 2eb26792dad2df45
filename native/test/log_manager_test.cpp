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
  explicit Stage(Fd first_log, const std::optional<Handover>& predecessor = std::nullopt)
      : log(std::move(first_log)), keeper(parts(), predecessor) {
    Scoreboard::remove(segment_name());
  }
  ~Stage() {
    if (syncer() > 0) bury(SIGKILL);
  }

  [[nodiscard]] pid_t syncer() const { return board.header().syncer; }
  void look_after(Nanoseconds after = 0) { keeper.look_after(roster, start + after); }
  // Ends the syncer, by a signal unless that is 0.
  void bury(int signal) {
    const pid_t pid = syncer();
    if (signal != 0) CHECK_EQ(::kill(pid, signal), 0);
    CHECK_EQ(::waitpid(pid, nullptr, 0), pid);
    keeper.bury(pid);
  }
  // What the front has been told since it was last asked.
  std::string told() {
    std::string told;
    std::array<char, 4096> bytes{};
    for (ssize_t got = 0;
         (got = ::recv(front.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;)
      told.append(bytes.data(), static_cast<std::size_t>(got));
    return told;
  }

  LogKeeper::Parts parts() {
    return {.scoreboard = board,
            .control = control,
            .record = record,
            .log = log.get(),
            .generation = 0,
            .bell = bell.get(),
            .synced = true,
            .prepare_syncer = [] {}};
  }

  Scoreboard board = Scoreboard::create(segment_name(), 1, 4, {});
  GroupCommit& commit = board.header().commit;
  std::vector<std::byte> memory = std::vector<std::byte>(Roster::bytes(1));
  std::vector<char> buffer = std::vector<char>(SpawnRecord::kBufferBytes);
  Roster roster{board, memory};
  Fd log;
  Fd front;
  Fd end_of_control = connect();
  Fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Fd spawn_log{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  Control control{end_of_control.get()};
  SpawnRecord record{log.get(), spawn_log.get(), buffer, board.header().owed};
  LogKeeper keeper;
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
  stage.look_after();
  stage.bury(SIGKILL);
  CHECK(!stage.commit.is_dead(0));
  const std::uint32_t sync = stage.commit.join();
  stage.look_after(kMillisecond);
  CHECK_EQ(stage.syncer(), 0);  // not at once
  stage.look_after(kLater);
  stage.commit.wait(sync);
  CHECK(stage.commit.is_dead(0));
}

TEST("what was written to a log that is reopened while there is no syncer is synced all the same") {
  for (const bool can_be : {true, false}) {
    Stage stage(can_be ? open_log(file("log")) : unsyncable());
    stage.look_after();
    stage.bury(SIGKILL);
    const std::uint32_t sync = stage.commit.join();
    stage.keeper.reopen(open_log(file("log-1")), 1, stage.roster);
    stage.commit.wait(sync);
    CHECK_EQ(stage.commit.is_dead(0), !can_be);
  }
}

TEST("or is not acknowledged, where none can be had at that time") {
  Process starved([] {
    Stage stage(open_log(file("log")));
    stage.look_after();
    stage.commit.wait(stage.commit.join());
    stage.bury(SIGKILL);
    const std::uint32_t sync = stage.commit.join();
    Fd next = open_log(file("log-1"));
    const rlimit few{.rlim_cur = 64, .rlim_max = 64};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    std::vector<Fd> all;
    do all.emplace_back(::dup(stage.bell.get()));
    while (all.back());
    stage.keeper.reopen(std::move(next), 1, stage.roster);
    all.clear();
    CHECK_EQ(stage.syncer(), 0);
    stage.look_after(kLater);
    stage.commit.wait(sync);
    CHECK(stage.commit.is_dead(0));
    CHECK(!stage.commit.is_dead(1));
  });
  CHECK_EQ(starved.wait(), 0);
}

TEST("what was written while a syncer left by itself is not acknowledged") {
  Stage stage(open_log(file("log")));
  stage.look_after();
  stage.commit.wait(stage.commit.join());
  CHECK_EQ(::kill(stage.syncer(), SIGTERM), 0);
  siginfo_t ended{};
  CHECK_EQ(::waitid(P_PID, static_cast<id_t>(stage.syncer()), &ended, WEXITED | WNOWAIT), 0);
  const std::uint32_t sync = stage.commit.join();
  stage.keeper.reopen(open_log(file("log-1")), 1, stage.roster);
  stage.bury(0);
  stage.look_after(kLater);
  stage.commit.wait(sync);
  CHECK(stage.commit.is_dead(0));
  CHECK(!stage.commit.is_dead(1));
}

TEST("a log that is reopened while the syncer is replaced is synced by the next one") {
  Stage stage(open_log(file("log")));
  stage.look_after();
  Handover predecessor;
  stage.keeper.leave_to(predecessor);
  for (int* fd : {&predecessor.give_log, &predecessor.take_log, &predecessor.inbox})
    *fd = ::dup(*fd);
  LogKeeper next(stage.parts(), predecessor);
  next.look_after(stage.roster, stage.start);  // which tells it to leave
  const std::uint32_t sync = stage.commit.join();
  next.reopen(open_log(file("log-1")), 1, stage.roster);
  CHECK(stage.syncer() != predecessor.syncer);
  stage.commit.wait(sync);
  CHECK(!stage.commit.is_dead(0));
}

TEST("a syncer lets go of the old log when the last child has, though nobody waits for a sync") {
  Stage stage(open_log(file("log")));
  stage.look_after();
  for (std::uint32_t generation = 1; generation <= 20; generation++) {
    const std::string name = "log-" + std::to_string(generation);
    stage.keeper.reopen(open_log(file(name)), generation, stage.roster);
    stage.look_after(generation * kMillisecond);
    CHECK(holds_in_time([&] { return stage.board.header().oldest_unsynced == generation; }));
  }
  CHECK(!stage.commit.is_dead(0));
  CHECK_EQ(stage.commit.joined(), 0);
}

TEST("without a syncer, nobody is told to leave in its place") {
  Process group([] {
    CHECK_EQ(::setpgid(0, 0), 0);
    const LogHandoff handoff = make_log_handoff();
    Process last_syncer([] { ::pause(); });
    Handover predecessor;
    predecessor.give_log = ::dup(handoff.give.get());
    predecessor.take_log = ::dup(handoff.take.get());
    predecessor.syncer = last_syncer.pid();
    Stage stage(open_log(file("log")), predecessor);
    last_syncer.signal(SIGKILL);
    last_syncer.wait();
    stage.keeper.bury(last_syncer.pid());
    const rlimit none{.rlim_cur = 3, .rlim_max = 3};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);  // so that there is no other one
    stage.look_after();
    CHECK_EQ(stage.syncer(), 0);
    CHECK(stage.keeper.next_deadline() > stage.start);
  });
  CHECK_EQ(group.wait(), 0);
}

TEST("what the front had no room to hear is told again") {
  Stage stage(open_log(file("log")));
  while (stage.control.send("brake none")) continue;
  stage.board.header().log_error = ENOSPC;
  stage.commit.fail_sync(0, EIO);
  stage.look_after();
  CHECK(stage.told().find("sync-failed") == std::string::npos);
  CHECK(stage.keeper.next_deadline() < kNever);
  stage.look_after();
  CHECK_EQ(stage.told(),
           "log-error " + std::to_string(ENOSPC) + "\nsync-failed " + std::to_string(EIO) + "\n");
  stage.look_after();
  CHECK_EQ(stage.told(), "");
}

}  // namespace
}  // namespace kilofork
