#include "lockdown.hpp"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "error.hpp"

namespace kilofork {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
// Numbers of the x32 ABI, in the same architecture, have a bit more, and so are none of those
// below.
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// What a child calls, what its signal handlers call, and what the C library calls for them. The
// calls of a request come first.
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
    // a reopened log: received, and put in the old one's place
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
    SYS_getppid,
    SYS_exit_group,
    // where the clock is no vDSO
    SYS_clock_gettime,
};
constexpr std::array kOfSyncer{
    SYS_futex,        SYS_fdatasync,       SYS_clock_nanosleep, SYS_recvmsg,       SYS_close,
    SYS_write,  // to the bell
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group,      SYS_clock_gettime,
};
#ifdef SYS_unlink
constexpr std::uint32_t kRemove = SYS_unlink;
constexpr int kRemovedPath = 0;
#else
constexpr std::uint32_t kRemove = SYS_unlinkat;
constexpr int kRemovedPath = 1;
#endif

// The filter, statement by statement; its last two are the two ends. It is built by each child, on
// its stack, and is short, since the kernel translates it for each of them.
class Filter {
 public:
  Filter() {
    load(offsetof(seccomp_data, arch));
    must_be(kArchitecture);
    load(offsetof(seccomp_data, nr));
    allow(UINT32_MAX);  // no call: what a tracer puts in the place of one that is to fail
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
  // Not any ioctl(2): some put words into the input of a terminal.
  Filter& allow_send_queue_length() {
    compare(SYS_ioctl, 0, 3);  // else past the next three statements
    load(argument(1));
    must_be(SIOCOUTQ);
    end(kAllow);
    return *this;
  }
  // Not any path: it is known by its address, in two halves, and nobody can change what is there.
  // The last of these calls: any other one but that is denied.
  Filter& allow_removal(const char* path) {
    must_be(kRemove);
    const auto address = reinterpret_cast<std::uint64_t>(path);
    load(argument(kRemovedPath));
    must_be(static_cast<std::uint32_t>(address));
    load(argument(kRemovedPath) + sizeof(std::uint32_t));
    must_be(static_cast<std::uint32_t>(address >> 32));
    end(kAllow);
    return *this;
  }
  // For good. False: the kernel refuses.
  bool install() {
    end(kKill);
    end(kAllow);
    resolve_jumps();
    const sock_fprog program{.len = length_, .filter = statements_.data()};
    // Not seccomp(2): a service manager's own filter may forbid that.
    return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

 private:
  static constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
  static constexpr std::uint32_t kKill = SECCOMP_RET_KILL_PROCESS;
  static constexpr std::uint8_t kToAllow = 0xff;  // until resolve_jumps()
  static constexpr std::uint8_t kToKill = 0xfe;

  static constexpr std::uint32_t argument(std::size_t index) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + index * sizeof(std::uint64_t));
  }
  void load(std::size_t offset) {
    add(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)));
  }
  void must_be(std::uint32_t value) { compare(value, 0, kToKill); }
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

  std::array<sock_filter, 64> statements_{};
  unsigned short length_ = 0;
};

}  // namespace

void drop_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("prctl no_new_privs");
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) fail("give up capabilities");
}

const char* keep_read_only(const std::string& path) {
  const std::size_t bytes = path.size() + 1;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of a path");
  std::copy_n(path.c_str(), bytes, static_cast<char*>(memory));
  if (::mprotect(memory, bytes, PROT_READ) != 0) fail("mprotect of a path");
  return static_cast<const char*>(memory);
}

bool lock_down_child(const char* removable, bool waits_for_syncs) {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return false;
  if (!kFiltersSystemCalls) return true;
  Filter filter;
  filter.allow(kOfChildren);
  if (waits_for_syncs) filter.allow(SYS_futex);
  return filter.allow_send_queue_length().allow_removal(removable).install();
}

bool lock_down_syncer() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return false;
  return !kFiltersSystemCalls || Filter().allow(kOfSyncer).install();
}

}  // namespace kilofork
