// What a child can no longer do. Each test locks down a process, which then makes an attempt.
#include "process/lockdown.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <cstring>

#include "check.hpp"
#include "child_harness.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::exited;
using check::file;
using check::Process;

constexpr int kDone = 17;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(KILOFORK_UNFILTERED)  // there is no filter there

// Runs `attempt` in a process that was locked down, and returns its status, as of waitpid(2). What
// `attempt` needs is made before, since nothing can be opened afterwards.
template <typename Attempt>
int try_with_key(Attempt attempt, const Lockdown& lockdown) {
  Process process([&] {
    drop_privileges();
    const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    const auto key = lock_down_children(lockdown);
    if (!key) ::_exit(1);
    attempt(*key);
    ::syscall(SYS_exit_group, kDone);
  });
  return process.wait();
}

template <typename Attempt>
int try_locked_down(Attempt attempt, const char* removable = keep_read_only(file("removable")),
                    bool waits_for_syncs = false) {
  return try_with_key([&](const ForkKey& /*key*/) { attempt(); },
                      {.removable = removable,
                       .name = keep_read_only("its name"),
                       .waits_for_syncs = waits_for_syncs});
}

bool was_denied(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

TEST("a child cannot execute a program") {
  std::string path = "/bin/true";
  char* const argv[] = {path.data(), nullptr};
  CHECK(was_denied(try_locked_down([&] { ::execv(path.c_str(), argv); })));
}

TEST("a child cannot open a file, for reading or for writing") {
  const std::string path = check::file("secret");
  for (const int flags : {O_RDONLY, O_WRONLY | O_CREAT})
    CHECK(was_denied(
        try_locked_down([&] { ::syscall(SYS_openat, AT_FDCWD, path.c_str(), flags, 0); })));
}

TEST("a child cannot make, connect or bind a socket") {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  CHECK(was_denied(try_locked_down([] { ::socket(AF_INET, SOCK_STREAM, 0); })));
  CHECK(was_denied(try_locked_down([&] {
    ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  })));
  CHECK(was_denied(try_locked_down(
      [&] { ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address); })));
}

TEST("a child cannot trace, signal or make a process") {
  const pid_t parent = ::getpid();
  CHECK(was_denied(try_locked_down([&] { ::ptrace(PTRACE_ATTACH, parent, nullptr, nullptr); })));
  CHECK(
      was_denied(try_locked_down([&] { ::syscall(SYS_process_vm_readv, parent, 0, 0, 0, 0, 0); })));
  CHECK(was_denied(try_locked_down([&] { ::kill(parent, 0); })));
  CHECK(was_denied(try_locked_down([] { ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); })));
}

TEST("a child cannot make memory executable, or change its privileges") {
  CHECK(was_denied(try_locked_down([] {
    ::syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  })));
  CHECK(was_denied(try_locked_down([] { ::syscall(SYS_mprotect, 0, 4096, PROT_EXEC); })));
  CHECK(was_denied(try_locked_down([] { ::prctl(PR_SET_DUMPABLE, 1); })));
  CHECK(was_denied(try_locked_down([] { ::syscall(SYS_setuid, 0); })));
}

TEST(
    "only the process with the key can fork, and the processes that it forks do not have the key") {
  const Lockdown lockdown{.removable = keep_read_only(file("removable")),
                          .name = keep_read_only("its name"),
                          .waits_for_syncs = false};
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const auto clone = [](std::uint64_t flags, std::uint64_t number) {
    return ::syscall(SYS_clone, flags, 0, number, 0, 0);
  };
  CHECK(was_denied(
      try_with_key([&](const ForkKey& key) { clone(SIGCHLD, key.number()); }, lockdown)));
  CHECK(was_denied(try_with_key(
      [&](const ForkKey& key) { clone(CLONE_PARENT | SIGCHLD, key.number() ^ 1); }, lockdown)));
  // The child is the caller's sibling: ours.
  for (const bool again : {false, true}) {
    CHECK(exited(try_with_key(
                     [&](const ForkKey& key) {
                       const pid_t pid = fork_by_key(key);
                       if (pid == 0 && again) fork_by_key(key);
                       if (pid == 0) ::syscall(SYS_exit_group, key.number() == 0 ? kDone : 1);
                       if (pid < 0) ::syscall(SYS_exit_group, 1);
                     },
                     lockdown),
                 kDone));
    int status = 0;
    CHECK(::waitpid(-1, &status, 0) > 0);
    CHECK(again ? was_denied(status) : exited(status, kDone));
  }
}

TEST("a child may use prctl only for its one name and for its end with the supervisor") {
  const char* const name = keep_read_only("its name");
  const Lockdown lockdown{.removable = "", .name = name, .waits_for_syncs = false};
  const auto outcome = [&](int option, unsigned long argument) {
    return try_with_key([&](const ForkKey& /*key*/) { ::prctl(option, argument); }, lockdown);
  };
  CHECK(exited(outcome(PR_SET_NAME, reinterpret_cast<unsigned long>(name)), kDone));
  CHECK(was_denied(outcome(PR_SET_NAME, reinterpret_cast<unsigned long>("another"))));
  CHECK(exited(outcome(PR_SET_PDEATHSIG, SIGQUIT), kDone));
  CHECK(was_denied(outcome(PR_SET_PDEATHSIG, 0)));
}

TEST("a child may use futex only if it waits for syncs") {
  const std::uint32_t word = 1;
  const auto wait = [&] { ::syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0); };
  const char* const none = keep_read_only(file("removable"));
  CHECK(exited(try_locked_down(wait, none, true), kDone));
  CHECK(was_denied(try_locked_down(wait, none, false)));
}

TEST("a syncer can do nothing but sync") {
  const auto outcome = [](auto attempt) {
    Process process([&] {
      drop_privileges();
      if (!lock_down_syncer()) ::_exit(1);
      attempt();
      ::syscall(SYS_exit_group, kDone);
    });
    return process.wait();
  };
  const Fd log(::open(file("log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CHECK(exited(outcome([&] { ::fdatasync(log.get()); }), kDone));
  CHECK(was_denied(outcome([&] { ::syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY, 0); })));
  CHECK(was_denied(outcome([&] { ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); })));
  CHECK(was_denied(outcome([&] { ::socket(AF_INET, SOCK_STREAM, 0); })));
}

TEST("a child can remove one file, by a path that nobody can change, and no other") {
  const char* const removable = keep_read_only(file("removable"));
  const auto make = [](const char* path) {
    Fd(::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  };
  make(removable);
  CHECK(exited(try_locked_down([&] { ::unlink(removable); }, removable), kDone));
  CHECK(::access(removable, F_OK) != 0);

  const std::string same_path_elsewhere = removable;
  make(removable);
  CHECK(was_denied(try_locked_down([&] { ::unlink(same_path_elsewhere.c_str()); }, removable)));
  CHECK(::access(removable, F_OK) == 0);
  Process changer([&] { *const_cast<char*>(removable) = 'x'; });
  const int status = changer.wait();
  CHECK(!exited(status, 0));
}

TEST("a child may use ioctl only for the length of a send queue") {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int value = 0;
  CHECK(exited(try_locked_down([&] { ::ioctl(socket.get(), SIOCOUTQ, &value); }), kDone));
  CHECK(was_denied(try_locked_down([&] { ::ioctl(socket.get(), TIOCSTI, "x"); })));
}

#ifdef __x86_64__
TEST("the call numbers of the x32 ABI do not get around the filter") {
  constexpr long kX32 = 0x40000000;
  CHECK(was_denied(try_locked_down([] { ::syscall(kX32 + SYS_getppid); })));
  CHECK(exited(try_locked_down([] { ::syscall(SYS_getppid); }), kDone));
}
#endif

#endif

TEST("a child leaves no core dump") {
  Process process([] {
    if (!lock_down_children({.removable = "", .name = "", .waits_for_syncs = false})) ::_exit(1);
    ::pause();
  });
  // Its /proc entries belong to the superuser then, as those of programs that change their user.
  CHECK(check::holds_in_time([&] {
    std::ifstream status("/proc/" + std::to_string(process.pid()) + "/status");
    std::string line;
    while (std::getline(status, line))
      if (line == (kFiltersSystemCalls ? "Seccomp:\t2" : "Seccomp:\t0")) return true;
    return process.has_ended();
  }));
}

TEST("a process that has dropped its privileges has no capability, and can gain none") {
  Process process([] {
    drop_privileges();
    std::ifstream status("/proc/self/status");
    int found = 0;
    for (std::string line; std::getline(status, line);)
      for (const auto* wanted : {"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
                                 "CapEff:\t0000000000000000", "NoNewPrivs:\t1"})
        if (line == wanted) found++;
    ::_exit(found == 4 ? kDone : 1);
  });
  CHECK(exited(process.wait(), kDone));
}

TEST("a child serves, adopts a reopened log and retires with the calls that it has left") {
  ChildHarness harness;
  Process child = harness.fork_child();
  check::TestClient client(harness.port());
  client.send("arijort:one\n");
  CHECK(harness.reaches(State::reading));
  const Fd reopened = open_log(check::file("log.new"));
  publish_log(harness.log_broadcast, reopened.get(), 1);
  harness.board.header().log_epoch = 1;
  child.signal(SIGUSR1);
  CHECK(check::holds_in_time([&] { return harness.slot().log_epoch == 1; }));
  client.send("arijort:two\n");
  client.end_sending();
  CHECK(client.rest().find("two") != std::string::npos);
  child.signal(SIGTERM);
  CHECK(exited(child.wait(), kExitOrdered));
}

}  // namespace
}  // namespace kilofork
