// What a child can no longer do. Each test locks down a process, which then makes an attempt.
#include "process/lockdown.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "check.hpp"
#include "child_harness.hpp"
#include "process/fd_passing.hpp"
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
  std::string path = file("nothing");  // a program would be ended by its first system call
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

// What all children share, at the numbers that a child finds them at, and the client of one of
// them.
struct Shared {
  check::ChildHarness harness{check::make_service(), file("shared.log")};
  ChildContext context = harness.make_context();
  Fd client = connect();
  Fd accepted{::accept4(context.listener, nullptr, nullptr, SOCK_CLOEXEC)};

  [[nodiscard]] Lockdown lockdown() const {
    return {.removable = keep_read_only(file("removable")),
            .name = keep_read_only("its name"),
            .waits_for_syncs = true,
            .listener = context.listener,
            .lifeline = context.lifeline,
            .log = context.log,
            .shared = {context.listener, context.log, harness.board.fd(), context.lifeline,
                       context.log_broadcast, context.wakeup}};
  }
  template <typename Attempt>
  int attempt(Attempt call) const {
    return try_with_key([&](const ForkKey& /*key*/) { call(); }, lockdown());
  }

 private:
  [[nodiscard]] Fd connect() const {
    const sockaddr_in address = loopback(harness.port());
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

 public:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
};

TEST("a child can shut its client down, and nothing that other children use") {
  const Shared shared;
  const ChildContext& context = shared.context;
  CHECK(exited(shared.attempt([&] { ::shutdown(shared.accepted.get(), SHUT_WR); }), kDone));
  for (const int fd : {context.listener, context.lifeline, context.log_broadcast, context.log})
    CHECK(was_denied(shared.attempt([&] { ::shutdown(fd, SHUT_RDWR); })));
  // The listener under another number.
  CHECK(was_denied(shared.attempt([&] { ::dup2(context.listener, 900); })));
  CHECK(was_denied(shared.attempt([&] { ::dup3(context.listener, 900, O_CLOEXEC); })));
  CHECK(was_denied(shared.attempt([&] {
    ::dup3(context.listener, context.log, O_CLOEXEC);
    ::shutdown(context.log, SHUT_RDWR);
  })));
}

TEST("a child can put the lifeline in the place of its listener, and nothing else anywhere") {
  const Shared shared;
  const ChildContext& context = shared.context;
  const auto put = [&](int fd, int place) { return shared.attempt([&] { ::dup2(fd, place); }); };
  CHECK(exited(put(context.lifeline, context.listener), kDone));
  CHECK(was_denied(put(shared.accepted.get(), context.listener)));
  CHECK(was_denied(put(context.lifeline, context.log)));
}

TEST("a child can send to its client, and to no address") {
  const Shared shared;
  const ChildContext& context = shared.context;
  const sockaddr_in elsewhere = Shared::loopback(shared.harness.port());
  sockaddr_un path{};
  path.sun_family = AF_UNIX;
  const auto send_to = [&](int fd, int flags, const void* address, socklen_t length) {
    return shared.attempt(
        [&] { ::sendto(fd, "x", 1, flags, static_cast<const sockaddr*>(address), length); });
  };
  const int client = shared.accepted.get();
  CHECK(exited(send_to(client, MSG_NOSIGNAL, nullptr, 0), kDone));
  CHECK(was_denied(send_to(client, MSG_NOSIGNAL | MSG_FASTOPEN, nullptr, 0)));
  CHECK(was_denied(send_to(client, MSG_NOSIGNAL, &elsewhere, sizeof elsewhere)));
  CHECK(was_denied(
      send_to(context.listener, MSG_NOSIGNAL | MSG_FASTOPEN, &elsewhere, sizeof elsewhere)));
  CHECK(was_denied(send_to(context.listener, MSG_NOSIGNAL, nullptr, 0)));
  CHECK(was_denied(send_to(context.log_broadcast, MSG_NOSIGNAL, &path, sizeof path)));
  CHECK(was_denied(send_to(context.log_broadcast, MSG_NOSIGNAL, nullptr, 0)));
}

TEST("a child can set the timeouts of its client, and no other option") {
  const Shared shared;
  const timeval timeout{.tv_sec = 1, .tv_usec = 0};
  const int hops = 255;
  const auto set = [&](int fd, int level, int option, const void* value, socklen_t length) {
    return shared.attempt([&] { ::setsockopt(fd, level, option, value, length); });
  };
  const int client = shared.accepted.get();
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    CHECK(exited(set(client, SOL_SOCKET, option, &timeout, sizeof timeout), kDone));
    CHECK(was_denied(set(shared.context.listener, SOL_SOCKET, option, &timeout, sizeof timeout)));
  }
  CHECK(was_denied(set(client, SOL_SOCKET, SO_ATTACH_FILTER, &timeout, sizeof timeout)));
  CHECK(was_denied(set(client, IPPROTO_IP, SO_RCVTIMEO, &timeout, sizeof timeout)));
  CHECK(was_denied(set(shared.context.listener, IPPROTO_IP, IP_MINTTL, &hops, sizeof hops)));
}

TEST("a child can receive a reopened log, and leaves it for the others") {
  const Shared shared;
  publish_log(shared.harness.log_broadcast, shared.context.log, 1);
  const int broadcast = shared.context.log_broadcast;
  char byte = 0;
  CHECK(exited(shared.attempt([&] { (void)peek_log(broadcast); }), kDone));
  CHECK(was_denied(shared.attempt([&] { ::recv(broadcast, &byte, 1, MSG_DONTWAIT); })));
  CHECK(was_denied(shared.attempt([&] {
    Fd log;
    std::array<char, 4> bytes{};
    receive_with_fd(broadcast, bytes, log, MSG_DONTWAIT);
  })));
  CHECK(peek_log(broadcast).has_value());
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
  for (const int bit : {0, 31, 32, 63})
    CHECK(was_denied(try_with_key(
        [&](const ForkKey& key) {
          clone(CLONE_PARENT | SIGCHLD, key.number() ^ std::uint64_t{1} << bit);
        },
        lockdown)));
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
  CHECK(exited(outcome(PR_SET_PDEATHSIG, SIGCONT), kDone));
  CHECK(was_denied(outcome(PR_SET_PDEATHSIG, 0)));
}

TEST("a child may use futex only if it waits for syncs") {
  const std::uint32_t word = 1;
  const auto wait = [&] { ::syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0); };
  const char* const none = keep_read_only(file("removable"));
  CHECK(exited(try_locked_down(wait, none, true), kDone));
  CHECK(was_denied(try_locked_down(
      [&] { ::syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, nullptr, nullptr, 0); }, none, true)));
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

TEST("a log writer can do nothing but copy") {
  const auto outcome = [](auto attempt) {
    Process process([&] {
      drop_privileges();
      if (!lock_down_log_writer()) ::_exit(1);
      attempt();
      ::syscall(SYS_exit_group, kDone);
    });
    return process.wait();
  };
  CHECK(exited(outcome([] { ::syscall(SYS_sendfile, -1, -1, nullptr, 1); }), kDone));
  for (const long call : {SYS_openat, SYS_socket, SYS_connect, SYS_read, SYS_dup3, SYS_clone,
                          SYS_execve, SYS_kill, SYS_mmap, SYS_sendto})
    CHECK(was_denied(outcome([&] { ::syscall(call, 0, 0, 0, 0, 0, 0); })));
}

// ---- with a keeper ------------------------------------------------------------------------------

// What a child of a keeper has: what all share, its socket to the keeper, and a client's
// connection.
struct OfKeeper {
  Shared shared;
  std::array<Fd, 2> pair = make_pair();
  int keeper = pair[1].get();
  int client = shared.accepted.get();

  template <typename Attempt>
  int attempt(Attempt call) const {
    Lockdown lockdown = shared.lockdown();
    lockdown.from_keeper = true;
    lockdown.listener = -1;
    return try_with_key([&](const ForkKey& /*key*/) { call(); }, lockdown);
  }
  static std::array<Fd, 2> make_pair() {
    std::array<int, 2> ends{};
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
  }
};

TEST("a child of a keeper gets connections from it, and cannot accept") {
  const OfKeeper child;
  const auto receive = [](int socket, int flags) {
    char byte = 0;
    const iovec part{.iov_base = &byte, .iov_len = 1};
    std::array<int, kMostPassed> fds{};
    std::size_t count = 0;
    receive_with_fds(socket, {&part, 1}, fds, count, flags);
  };
  CHECK_EQ(send_with_fd(child.pair[0].get(), "x", child.client, 0), 1);
  CHECK(exited(child.attempt([&] { receive(child.keeper, 0); }), kDone));
  CHECK(was_denied(child.attempt([&] { receive(child.keeper, MSG_DONTWAIT); })));
  const int listener = child.shared.context.listener;
  CHECK(was_denied(child.attempt([&] { ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); })));
}

TEST("a child of a keeper takes a reopened log from nobody, and replaces nothing but its log") {
  const OfKeeper child;
  const ChildContext& context = child.shared.context;
  const int broadcast = context.log_broadcast;
  publish_log(child.shared.harness.log_broadcast, context.log, 1);
  CHECK(exited(child.attempt([&] { (void)peek_log(broadcast); }), kDone));
  CHECK(was_denied(child.attempt([&] {
    char byte = 0;
    const iovec part{.iov_base = &byte, .iov_len = 1};
    std::array<int, kMostPassed> fds{};
    std::size_t count = 0;
    receive_with_fds(broadcast, {&part, 1}, fds, count, 0);
  })));
  CHECK(peek_log(broadcast).has_value());
  CHECK(exited(child.attempt([&] { ::dup3(child.client, context.log, O_CLOEXEC); }), kDone));
  for (const int place : {-1, child.keeper, child.client})
    CHECK(was_denied(child.attempt([&] { ::dup2(context.lifeline, place); })));
}

TEST("a child of a keeper sends to its client and the keeper, and passes no descriptor on") {
  const OfKeeper child;
  for (const int fd : {child.client, child.keeper})
    CHECK(exited(child.attempt([&] { ::send(fd, "x", 1, MSG_NOSIGNAL); }), kDone));
  for (const int fd : {child.client, child.keeper, child.shared.context.log_broadcast})
    CHECK(was_denied(child.attempt([&] { send_with_fd(fd, "x", child.client, 0); })));
  CHECK(was_denied(
      child.attempt([&] { ::send(child.shared.context.log_broadcast, "x", 1, MSG_NOSIGNAL); })));
}

TEST("a child of a keeper sets time-outs of its client, and leaves no other option on it") {
  const OfKeeper child;
  const timeval timeout{.tv_sec = 1, .tv_usec = 0};
  const auto set = [&](int level, int option) {
    return child.attempt([&] { ::setsockopt(child.client, level, option, &timeout, 16); });
  };
  CHECK(exited(set(SOL_SOCKET, SO_SNDTIMEO), kDone));
  CHECK(was_denied(set(SOL_SOCKET, SO_LINGER)));
  CHECK(was_denied(set(SOL_SOCKET, SO_RCVLOWAT)));
  CHECK(was_denied(set(IPPROTO_TCP, 1)));  // TCP_NODELAY
  CHECK(was_denied(child.attempt([&] { ::fcntl(child.client, F_SETFL, O_NONBLOCK); })));
}

// Runs `attempt` as a keeper.
template <typename Attempt>
int try_as_keeper(Attempt attempt) {
  Process process([&] {
    drop_privileges();
    if (!lock_down_keeper()) ::_exit(1);
    attempt();
    ::syscall(SYS_exit_group, kDone);
  });
  return process.wait();
}

TEST("a keeper accepts, watches, passes and ends connections") {
  const OfKeeper child;
  const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  ::fcntl(child.shared.context.listener, F_SETFL, O_NONBLOCK);
  const int keepers_end = child.pair[0].get();
  CHECK(exited(try_as_keeper([&] {
                 ::accept4(child.shared.context.listener, nullptr, nullptr, SOCK_CLOEXEC);
                 epoll_event event{.events = EPOLLIN, .data = {}};
                 ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, child.client, &event);
                 ::epoll_pwait(epoll.get(), &event, 1, 0, nullptr);
                 ::send(child.client, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                 send_with_fd(keepers_end, "x", child.client, MSG_DONTWAIT);
                 int unread = 0;
                 ::ioctl(child.client, SIOCINQ, &unread);
                 ::recv(child.client, nullptr, 100, MSG_DONTWAIT | MSG_TRUNC);
                 ::shutdown(child.client, SHUT_RDWR);
                 ::close(child.client);
               }),
               kDone));
}

TEST("a keeper opens, connects, makes and executes nothing, and sends to no address") {
  for (const long call : {SYS_openat, SYS_socket, SYS_connect, SYS_bind, SYS_read, SYS_dup3,
                          SYS_clone, SYS_execve, SYS_kill, SYS_mmap, SYS_mprotect, SYS_ptrace,
                          SYS_fcntl, SYS_setsockopt, SYS_prctl, SYS_unlinkat, SYS_futex})
    CHECK(was_denied(try_as_keeper([&] { ::syscall(call, 0, 0, 0, 0, 0, 0); })));
  const OfKeeper child;
  const sockaddr_in elsewhere = Shared::loopback(child.shared.harness.port());
  const auto send_to = [&](int flags, const void* address, socklen_t length) {
    return try_as_keeper([&] {
      ::sendto(child.client, "x", 1, flags, static_cast<const sockaddr*>(address), length);
    });
  };
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  CHECK(exited(send_to(kFlags, nullptr, 0), kDone));
  CHECK(was_denied(send_to(kFlags, &elsewhere, sizeof elsewhere)));
  CHECK(was_denied(send_to(kFlags | MSG_FASTOPEN, nullptr, 0)));
  CHECK(was_denied(try_as_keeper([&] { ::ioctl(child.client, TIOCSTI, "x"); })));
}

#ifdef __x86_64__
TEST("the call numbers of the x32 ABI do not get around the filter") {
  constexpr long kX32 = 0x40000000;
  CHECK(was_denied(try_locked_down([] { ::syscall(kX32 + SYS_getppid); })));
  CHECK(exited(try_locked_down([] { ::syscall(SYS_getppid); }), kDone));
}
#endif

#endif

// Whether a process without capabilities, of the user of the test, may inspect a process that
// `lock_down` has locked down. A process that may not be inspected leaves no core dump either.
template <typename LockDown>
bool is_inspectable(LockDown lock_down) {
  const Fd locked(::eventfd(0, EFD_CLOEXEC));
  const Process process([&] {
    drop_privileges();
    if (!lock_down()) ::_exit(1);
    std::uint64_t value = 1;
    CHECK(::write(locked.get(), &value, sizeof value) > 0);
    value = UINT64_MAX - 1;  // the counter has no room for it: waits
    CHECK(::write(locked.get(), &value, sizeof value) > 0);
  });
  pollfd is_locked{.fd = locked.get(), .events = POLLIN, .revents = 0};
  CHECK_EQ(::poll(&is_locked, 1, 10'000), 1);
  Process inspector([&] {
    drop_privileges();
    const std::string link = "/proc/" + std::to_string(process.pid()) + "/exe";
    std::array<char, 1> path{};
    ::_exit(::readlink(link.c_str(), path.data(), path.size()) > 0 ? kDone : 0);
  });
  return exited(inspector.wait(), kDone);
}

TEST("no other process of its user can inspect a child, a keeper, a syncer or a log writer") {
  CHECK(is_inspectable([] { return true; }));
  CHECK(!is_inspectable([] {
    return lock_down_children({.removable = "", .name = "", .waits_for_syncs = false}).has_value();
  }));
  CHECK(!is_inspectable(lock_down_keeper));
  CHECK(!is_inspectable(lock_down_syncer));
  CHECK(!is_inspectable(lock_down_log_writer));
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
