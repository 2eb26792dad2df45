#include "process/lockdown.hpp"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>

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

// The calls of a child, of its signal handlers, and of the C library on their behalf. Those of a
// request come first, since the filter compares in this order.
constexpr std::array kOfChildren{
    SYS_recvfrom,
    SYS_write,
    SYS_sendto,
    SYS_accept4,
    SYS_close,
    SYS_clock_nanosleep,
    // the end of a connection, time-outs
    SYS_shutdown,
    SYS_setsockopt,
    SYS_ppoll,
    SYS_setitimer,
    // a reopened log: received, and put in the place of the old one
    SYS_recvmsg,
    SYS_dup3,
#ifdef SYS_poll
    SYS_poll,
    SYS_dup2,
#endif
    // signals, and the end
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_getppid,
    SYS_exit_group,
    // the clock, if it is not in the vDSO
    SYS_clock_gettime,
};
constexpr std::array kOfSyncer{
    SYS_futex,        SYS_fdatasync,       SYS_clock_nanosleep, SYS_recvmsg,       SYS_close,
    SYS_write,  // wakes the supervisor
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group,      SYS_clock_gettime,
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

// Builds the filter statement by statement. Its last two statements are the two verdicts.
class Filter {
 public:
  Filter() {
    load(offsetof(seccomp_data, arch));
    compare(kArchitecture, 0, kToKill);
    load(offsetof(seccomp_data, nr));
    allow(UINT32_MAX);  // -1, no call: a tracer sets it to make a call fail
  }

  Filter& allow(std::uint32_t call) {
    compare(call, kToAllow, 0);
    return *this;
  }
  template <std::size_t N>
  Filter& allow(const std::array<int, N>& calls) {
    for (const int call : calls) allow(static_cast<std::uint32_t>(call));
    return *this;
  }
  struct Argument {
    int index;
    std::uint64_t value;
  };
  // Allows the call with these arguments only. To be used after all calls without arguments: it
  // changes what the filter has loaded.
  Filter& allow(std::uint32_t call, std::initializer_list<Argument> arguments) {
    constexpr std::size_t kBefore = 2;
    constexpr std::size_t kPerArgument = 4;
    const std::size_t end_at = length_ + kBefore + kPerArgument * arguments.size() + 1;
    const auto must_be = [&](std::uint32_t value) {  // else skip to the statement after these
      compare(value, 0, static_cast<std::uint8_t>(end_at - length_ - 1U));
    };
    load(offsetof(seccomp_data, nr));
    must_be(call);
    for (const Argument& wanted : arguments) {
      load(argument(wanted.index));
      must_be(static_cast<std::uint32_t>(wanted.value));
      load(argument(wanted.index) + sizeof(std::uint32_t));
      must_be(static_cast<std::uint32_t>(wanted.value >> 32));
    }
    end(kAllow);
    return *this;
  }
  // False if the kernel refuses.
  bool install() {
    end(kKill);
    end(kAllow);
    resolve_jumps();
    const sock_fprog program{.len = length_, .filter = statements_.data()};
    // By prctl(2): the filter of a service manager may forbid seccomp(2).
    const bool installed = ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    ::explicit_bzero(statements_.data(), sizeof statements_);  // the key is in one of them
    return installed;
  }

 private:
  static constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
  static constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
  static constexpr std::uint8_t kToAllow = 0xff;  // until resolve_jumps()
  static constexpr std::uint8_t kToKill = 0xfe;

  static constexpr std::size_t argument(int index) {
    return offsetof(seccomp_data, args) + static_cast<std::size_t>(index) * sizeof(std::uint64_t);
  }
  void load(std::size_t offset) {
    add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  }
  void compare(std::uint32_t value, std::uint8_t if_equal, std::uint8_t if_not) {
    add(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, if_equal, if_not));
  }
  void end(std::uint32_t action) { add(BPF_STMT(BPF_RET | BPF_K, action)); }
  void add(sock_filter statement) { statements_.at(length_++) = statement; }

  void resolve_jumps() {
    const auto resolve = [this](std::uint8_t& jump, std::size_t from) {
      const std::size_t target = jump == kToAllow ? length_ - 1U : length_ - 2U;
      if (jump >= kToKill) jump = static_cast<std::uint8_t>(target - from - 1);
    };
    for (std::size_t i = 0; i < length_; i++) {
      resolve(statements_.at(i).jt, i);
      resolve(statements_.at(i).jf, i);
    }
  }

  std::array<sock_filter, 96> statements_{};
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
  filter.allow(kOfChildren);
  if (lockdown.waits_for_syncs) filter.allow(SYS_futex);
  filter
      // One ioctl(2): others can put text into the input of a terminal.
      .allow(SYS_ioctl, {{.index = 1, .value = SIOCOUTQ}})
      // One path and one name, by their addresses in read-only memory.
      .allow(kRemove, {{.index = kRemovedPath, .value = address_of(lockdown.removable)}})
      .allow(SYS_prctl,
             {{.index = 0, .value = PR_SET_NAME}, {.index = 1, .value = address_of(lockdown.name)}})
      .allow(SYS_prctl, {{.index = 0, .value = PR_SET_PDEATHSIG}, {.index = 1, .value = SIGQUIT}})
      .allow(SYS_clone,
             {{.index = 0, .value = kCloneFlags}, {.index = kKeyOfClone, .value = key->number()}});
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

bool lock_down_syncer() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return false;
  return !kFiltersSystemCalls || Filter().allow(kOfSyncer).install();
}

}  // namespace kilofork
