#include "process/lockdown.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include <vector>

#include "base/error.hpp"

namespace kilofork {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
// The x32 ABI has the same architecture; its call numbers have one more bit set and match none of
// those below.
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// What a child, its signal handlers, and the C library on their behalf call with any arguments. Of
// these, each works on the child's own memory, time and descriptors, on the log, or on the wakeup:
//
//   write           to the log and the wakeup, for which it has them; to its client; bytes in the
//                   lifeline are read and dropped; the listener takes none
//   close           its own copy of a descriptor
//   poll, ppoll     tell what its descriptors are ready for
//   sleep, timer, clock, signal mask, getpid, getppid, exit   its own
constexpr std::array kOfChildren{
    SYS_write,
    SYS_close,
    SYS_clock_nanosleep,
    SYS_ppoll,
    SYS_setitimer,
#ifdef SYS_poll
    SYS_poll,
#endif
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_getppid,
    SYS_exit_group,
    // the clock, if it is not in the vDSO
    SYS_clock_gettime,
};
// Of a keeper, which reads no byte of a client: the listener, its connections, and the sockets of
// children. sendmsg(2) goes to children only, sockets that take no address.
constexpr std::array kOfKeeper{
    SYS_epoll_pwait,  SYS_accept4,         SYS_epoll_ctl,  SYS_recvmsg,
    SYS_recvfrom,     SYS_shutdown,        SYS_close,      SYS_write,  // wakes the supervisor
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group, SYS_clock_gettime,
};
// Of a syncer, which reads nothing that a client sent: waits, syncs of the logs that it was sent,
// writes to these and to the wakeup.
constexpr std::array kOfSyncer{
    SYS_futex,        SYS_fdatasync,       SYS_clock_nanosleep, SYS_recvmsg,       SYS_close,
    SYS_write,    // wakes the supervisor
    SYS_getppid,  // is the supervisor dead?
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group,      SYS_clock_gettime,
};
// Of a log writer, which reads nothing but the spool: waits, and copies from the spool to the log's
// reader. It has no other descriptors but the segment, the lifeline and the wakeup.
constexpr std::array kOfLogWriter{
    SYS_futex,     SYS_lseek,        SYS_pread64,         SYS_sendfile,
    SYS_write,      // to the reader where sendfile(2) cannot; wakes the supervisor
    SYS_fallocate,  // gives memory of the spool back
#ifdef SYS_poll
    SYS_poll,
#endif
    SYS_ppoll,     SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group, SYS_clock_gettime,
};
// The call that removes a file, and which of its arguments is the path. arm64 has no unlink(2).
#ifdef SYS_unlink
constexpr std::uint32_t kRemove = SYS_unlink;
constexpr int kRemovedPath = 0;
#else
constexpr std::uint32_t kRemove = SYS_unlinkat;
constexpr int kRemovedPath = 1;
#endif
// The argument that carries the key. With these flags clone(2) does not read it.
constexpr int kKeyOfClone = 2;
constexpr std::uint64_t kCloneFlags = CLONE_PARENT | SIGCHLD;

// A condition on an argument of a call. An int is compared in 32 bits, as the kernel reads it.
struct Argument {
  enum class Must : std::uint8_t { be, be_int, differ_from_int };
  int index;
  Must must;
  std::uint64_t value;
};

Argument is(int index, std::uint64_t value) {
  return {.index = index, .must = Argument::Must::be, .value = value};
}
Argument is_int(int index, int value) {
  return {.index = index, .must = Argument::Must::be_int, .value = static_cast<unsigned>(value)};
}
Argument is_not_int(int index, int value) {
  return {.index = index,
          .must = Argument::Must::differ_from_int,
          .value = static_cast<unsigned>(value)};
}

// Builds the filter: a block of statements for each kind of call. A block ends in "allow", or goes
// on to the next one; behind the last, the process is killed.
class Filter {
 public:
  Filter() {
    load(offsetof(seccomp_data, arch));
    compare(kArchitecture, 1, 0);
    end(kKill);
  }

  // With any arguments.
  template <std::size_t N>
  Filter& allow(const std::array<int, N>& calls) {
    load(offsetof(seccomp_data, nr));
    const std::size_t end_at = length_ + calls.size() + 2;
    for (const int call : calls)
      compare(static_cast<std::uint32_t>(call), distance_to(end_at - 1), 0);
    add(BPF_STMT(BPF_JMP | BPF_JA, 1));
    end(kAllow);
    return *this;
  }
  // If all of the conditions hold.
  Filter& allow(int call, const std::vector<Argument>& conditions) {
    std::size_t end_at = length_ + 3;
    for (const Argument& each : conditions) end_at += each.must == Argument::Must::be ? 4 : 2;
    load(offsetof(seccomp_data, nr));
    compare(static_cast<std::uint32_t>(call), 0, distance_to(end_at));
    for (const auto& [index, must, value] : conditions) {
      load(argument(index));
      const auto low = static_cast<std::uint32_t>(value);
      if (must == Argument::Must::differ_from_int)
        compare(low, distance_to(end_at), 0);
      else
        compare(low, 0, distance_to(end_at));
      if (must != Argument::Must::be) continue;
      load(argument(index) + sizeof(std::uint32_t));
      compare(static_cast<std::uint32_t>(value >> 32), 0, distance_to(end_at));
    }
    end(kAllow);
    return *this;
  }
  // False if the kernel refuses.
  bool install() {
    // -1, no call: a tracer sets it to make a call fail.
    allow(std::array{-1});
    end(kKill);
    const sock_fprog program{.len = length_, .filter = statements_.data()};
    // By prctl(2): the filter of a service manager may forbid seccomp(2).
    const bool installed = ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    ::explicit_bzero(statements_.data(), sizeof statements_);  // the key is in one of them
    return installed;
  }

 private:
  static constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
  static constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
  static constexpr std::size_t kMostStatements = 320;

  static constexpr std::size_t argument(int index) {
    return offsetof(seccomp_data, args) + static_cast<std::size_t>(index) * sizeof(std::uint64_t);
  }
  void load(std::size_t offset) {
    add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  }
  // From the statement that is added next.
  [[nodiscard]] std::uint8_t distance_to(std::size_t statement) const {
    const std::size_t distance = statement - length_ - 1;
    assert(distance <= std::numeric_limits<std::uint8_t>::max());
    return static_cast<std::uint8_t>(distance);
  }
  void compare(std::uint32_t value, std::uint8_t if_equal, std::uint8_t if_not) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, if_equal, if_not));
  }
  void end(std::uint32_t action) { add(BPF_STMT(BPF_RET | BPF_K, action)); }
  void add(sock_filter statement) { statements_.at(length_++) = statement; }

  std::array<sock_filter, kMostStatements> statements_{};
  unsigned short length_ = 0;
};

std::uint64_t address_of(const char* text) {
  return reinterpret_cast<std::uint64_t>(text);
}

}  // namespace

void drop_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("prctl no_new_privs");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) fail("give up capabilities");
}

const char* keep_read_only(const std::string& text) {
  const std::size_t bytes = text.size() + 1;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of a path");
  std::copy_n(text.c_str(), bytes, static_cast<char*>(memory));
  if (::mprotect(memory, bytes, PROT_READ) != 0) fail("mprotect of a path");
  return static_cast<const char*>(memory);
}

std::optional<ForkKey> lock_down_children(const Lockdown& lockdown) {
  std::optional<ForkKey> key = ForkKey::make();
  if (!key || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return std::nullopt;
  if (!kFiltersSystemCalls) return key;
  Filter filter;
  const auto to_client = [&](std::vector<Argument> conditions) {
    for (const int fd : lockdown.shared) conditions.push_back(is_not_int(0, fd));
    return conditions;
  };
  // The calls of a request come first. No address, and no flag by which a message connects a socket
  // (MSG_FASTOPEN): a message goes to the client, or as the forker's answer to the supervisor.
  filter.allow(SYS_recvfrom, to_client({}))
      .allow(SYS_sendto, to_client({is_int(3, MSG_NOSIGNAL), is(4, 0)}))
      .allow(kOfChildren);
  if (lockdown.from_keeper) {
    // Its batches. Not the log that is published for all, which this would take from the others.
    filter.allow(SYS_recvmsg, to_client({is_int(2, MSG_CMSG_CLOEXEC)}));
  } else {
    filter
        .allow(std::array{SYS_accept4})
    // At the end of its service, nothing can be accepted any more.
#ifdef SYS_dup2
        .allow(SYS_dup2, {is_int(0, lockdown.lifeline), is_int(1, lockdown.listener)});
#else
        .allow(SYS_dup3,
               {is_int(0, lockdown.lifeline), is_int(1, lockdown.listener), is_int(2, 0)});
#endif
  }
  filter
      // Of its client only: the listener is everybody's.
      .allow(SYS_shutdown, to_client({}))
      .allow(SYS_setsockopt, to_client({is_int(1, SOL_SOCKET), is_int(2, SO_RCVTIMEO)}))
      .allow(SYS_setsockopt, to_client({is_int(1, SOL_SOCKET), is_int(2, SO_SNDTIMEO)}))
      // A reopened log: MSG_PEEK leaves it for the others.
      .allow(SYS_recvmsg, {is_int(2, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC)})
      .allow(SYS_dup3, {is_int(1, lockdown.log), is_int(2, O_CLOEXEC)})
      // One ioctl(2): others can put text into the input of a terminal.
      .allow(SYS_ioctl, {is_int(1, SIOCOUTQ)})
      // One path and one name, by their addresses, which are read-only memory.
      .allow(kRemove, {is(kRemovedPath, address_of(lockdown.removable))})
      .allow(SYS_prctl, {is_int(0, PR_SET_NAME), is(1, address_of(lockdown.name))})
      .allow(SYS_prctl, {is_int(0, PR_SET_PDEATHSIG), is(1, SIGCONT)})
      .allow(SYS_clone, {is(0, kCloneFlags), is(kKeyOfClone, key->number())});
  // Waits and wakes; the other operations of futex(2) change words or move waiters.
  if (lockdown.waits_for_syncs)
    for (const int operation : {FUTEX_WAIT, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET})
      filter.allow(SYS_futex, {is_int(1, operation)});
  return filter.install() ? key : std::nullopt;
}

std::optional<ForkKey> ForkKey::make() {
  void* memory = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || ::madvise(memory, sizeof(std::uint64_t), MADV_WIPEONFORK) != 0 ||
      ::getrandom(memory, sizeof(std::uint64_t), 0) != sizeof(std::uint64_t))
    return std::nullopt;
  return ForkKey(static_cast<const std::uint64_t*>(memory));
}

// Loads the key from its page into a register, and clears the register in both processes before
// anything else runs. So the key is on no stack.
pid_t fork_by_key(const ForkKey& key) {
#if defined(__x86_64__)
  long result = SYS_clone;
  asm volatile(
      "movq (%[key]), %%rdx\n\t"
      "syscall\n\t"
      "xorl %%edx, %%edx"
      : "+a"(result)
      : "D"(kCloneFlags), "S"(0), [key] "r"(key.place())
      : "rcx", "rdx", "r11", "memory");
#elif defined(__aarch64__)
  register long call asm("x8") = SYS_clone;
  register std::uint64_t flags asm("x0") = kCloneFlags;
  register long stack asm("x1") = 0;
  asm volatile(
      "ldr x2, [%[key]]\n\t"
      "svc #0\n\t"
      "mov x2, xzr"
      : "+r"(flags)
      : "r"(call), "r"(stack), [key] "r"(key.place())
      : "x2", "memory");
  const auto result = static_cast<long>(flags);
#endif
  if (result >= 0) return static_cast<pid_t>(result);
  errno = static_cast<int>(-result);
  return -1;
}

bool lock_down_keeper() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return false;
  if (!kFiltersSystemCalls) return true;
  Filter filter;
  filter.allow(kOfKeeper).allow(SYS_ioctl, {is_int(1, SIOCINQ)});
  // It waits for room only when it hands over to the next keeper.
  for (const int flags : {MSG_DONTWAIT | MSG_NOSIGNAL, int{MSG_NOSIGNAL}})
    filter.allow(SYS_sendmsg, {is_int(2, flags)}).allow(SYS_sendto, {is_int(3, flags), is(4, 0)});
  return filter.install();
}

bool lock_down_syncer() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return false;
  return !kFiltersSystemCalls || Filter().allow(kOfSyncer).install();
}

bool lock_down_log_writer() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return false;
  return !kFiltersSystemCalls || Filter().allow(kOfLogWriter).install();
}

}  // namespace kilofork
