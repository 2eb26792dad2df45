// The syncer, with logs that can be synced and logs that cannot.
#include "log/syncer.hpp"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <optional>

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

struct Harness {
  Harness() {
    std::array<int, 2> ends{};
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    inbox.reset(ends[0]);
    theirs.reset(ends[1]);
    Segment::remove(segment_name());
  }
  Process start() {
    const pid_t parent = ::getpid();
    return Process([&] {
      run_syncer({.scoreboard = board,
                  .supervisor = parent,
                  .inbox = theirs.get(),
                  .wakeup = wakeup.get()});
    });
  }
  void sync() { header.commit.wait(header.commit.join()); }
  bool was_woken() {
    std::uint64_t count = 0;
    return ::read(wakeup.get(), &count, sizeof count) > 0;
  }

  Scoreboard board = Scoreboard::create(segment_name(), 1, 4, {});
  Header& header = board.header();
  Fd inbox;
  Fd theirs;
  Fd wakeup{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

TEST("what joins is synced and counted") {
  Harness harness;
  const Fd log = open_log(file("log"));
  CHECK(send_log(harness.inbox.get(), log.get(), 0));
  Process syncer = harness.start();
  for (int i = 0; i < 10; i++) harness.sync();
  CHECK_EQ(harness.header.commit.syncs(), 10);
  CHECK_EQ(harness.header.commit.joined(), 10);
  CHECK(!harness.header.commit.is_dead(0));
  CHECK(!harness.was_woken());
}

TEST("a log that cannot be synced is dead, the supervisor is woken, and the next log is synced") {
  Harness harness;
  CHECK(send_log(harness.inbox.get(), unsyncable().get(), 0));
  Process syncer = harness.start();
  harness.sync();
  CHECK(harness.header.commit.is_dead(0));
  CHECK_EQ(harness.header.commit.error(), EINVAL);
  CHECK(holds_in_time([&] { return harness.was_woken(); }));
  CHECK(send_log(harness.inbox.get(), open_log(file("log")).get(), 1));
  harness.sync();
  CHECK(!harness.header.commit.is_dead(1));
  CHECK(!harness.was_woken());
}

TEST("an older log is synced as long as a child may still write to it") {
  Harness harness;
  CHECK(send_log(harness.inbox.get(), open_log(file("log.0")).get(), 0));
  CHECK(send_log(harness.inbox.get(), open_log(file("log.1")).get(), 1));
  Process syncer = harness.start();
  harness.sync();
  CHECK_EQ(harness.header.oldest_unsynced.load(), 0);
  harness.header.log_settled = 1;
  harness.sync();
  CHECK(holds_in_time([&] { return harness.header.oldest_unsynced == 1; }));
  CHECK(send_log(harness.inbox.get(), unsyncable().get(), 2));
  CHECK(send_log(harness.inbox.get(), open_log(file("log.3")).get(), 3));
  harness.sync();
  CHECK(harness.header.commit.is_dead(3));
}

TEST("if there are more logs than the syncer can hold, all are dead, also those not received") {
  constexpr std::uint32_t kMany = 260;
  Harness harness;
  const Fd log = open_log(file("log"));
  Process syncer = harness.start();
  harness.sync();
  for (std::uint32_t i = 0; i < kMany; i++) {
    CHECK(send_log(harness.inbox.get(), log.get(), i));
    harness.header.commit.offer(i);
  }
  harness.sync();
  CHECK(harness.header.commit.is_dead(kMany - 1));
  CHECK_EQ(harness.header.commit.error(), EMFILE);
}

TEST("a sync without any log fails") {
  Harness harness;
  Process syncer = harness.start();
  harness.sync();
  CHECK(harness.header.commit.is_dead(0));
}

TEST("a log that cannot be received, because no descriptor is free, is dead") {
  Harness harness;
  const Fd log = open_log(file("log"));
  const pid_t parent = ::getpid();
  Process syncer([&] {
    const rlimit few{.rlim_cur = 20, .rlim_max = 20};
    CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    run_syncer({.scoreboard = harness.board,
                .supervisor = parent,
                .inbox = harness.theirs.get(),
                .wakeup = harness.wakeup.get()});
  });
  for (std::uint32_t i = 0; i < 30; i++) {
    CHECK(send_log(harness.inbox.get(), log.get(), i));
    harness.header.commit.offer(i);
  }
  harness.sync();
  CHECK(harness.header.commit.is_dead(29));
}

TEST("a syncer that is told to leave does so, and not in the middle of a sync") {
  Harness harness;
  CHECK(send_log(harness.inbox.get(), open_log(file("log")).get(), 0));
  Process syncer = harness.start();
  harness.sync();
  syncer.signal(SIGTERM);
  const int status = syncer.wait();
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(!harness.header.commit.is_syncing());
}

// SIGSTOP to the syncer has not taken effect yet when its supervisor dies, if it is `stopping`.
void orphan_a_syncer(bool stopping) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that we see its end
  Harness harness;
  Process supervisor([&] {
    Process syncer = harness.start();
    harness.sync();
    harness.header.syncer = syncer.pid();
    for (;;) ::pause();
  });
  CHECK(holds_in_time([&] { return harness.header.syncer != 0; }));
  const pid_t pid = harness.header.syncer;
  {
    std::optional<check::Held> holder;
    if (stopping) holder.emplace(pid);
    if (stopping) CHECK_EQ(::kill(pid, SIGSTOP), 0);
    supervisor.signal(SIGKILL);
    (void)supervisor.wait();
  }
  int status = -1;
  CHECK(holds_in_time([&] { return ::waitpid(pid, &status, WNOHANG) == pid; }));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST("a syncer whose supervisor is gone leaves") {
  orphan_a_syncer(false);
}

TEST("a syncer that is about to stop when its supervisor dies leaves nevertheless") {
  if (::getuid() != 0) return;  // only root may trace a process that cannot be inspected
  orphan_a_syncer(true);
}

TEST("a syncer that somebody continues goes on") {
  Harness harness;
  CHECK(send_log(harness.inbox.get(), open_log(file("log")).get(), 0));
  Process syncer = harness.start();
  harness.sync();
  syncer.signal(SIGCONT);
  for (int i = 0; i < 10; i++) harness.sync();
  CHECK(!syncer.has_ended());
}

}  // namespace
}  // namespace kilofork
