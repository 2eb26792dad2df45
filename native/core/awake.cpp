#include "awake.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include <linux/close_range.h>

#include "error.hpp"

namespace kilofork {

namespace {

constexpr int kLowest = 19;
constexpr std::string_view kLowestText = "19";

// True also where sessions are no groups. One such write in 100 ms is allowed to all users but
// root.
bool give_session_least_weight() {
  constexpr useconds_t kUntilAllowed = 110'000;
  const int group = ::open("/proc/self/autogroup", O_WRONLY);
  if (group < 0) return errno == ENOENT;
  while (::write(group, kLowestText.data(), kLowestText.size()) < 0) {
    if (errno != EAGAIN) return false;
    ::usleep(kUntilAllowed);
  }
  return true;
}

// In a process that was forked from one with threads: only calls that are safe in a signal handler.
// Without the priority it would take time from others, so it ends.
[[noreturn]] void spin_on(std::size_t processor, pid_t parent) {
  constexpr int kTurns = 1000;
  for (int signal = 1; signal < NSIG; signal++) ::signal(signal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "kilofork-awake");
  if (::getppid() != parent) ::_exit(0);
  ::setsid();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  const sched_param none{};
  if (!give_session_least_weight() || ::close_range(0, ~0U, 0) != 0 ||
      ::sched_setaffinity(0, sizeof one, &one) != 0 ||
      ::setpriority(PRIO_PROCESS, 0, kLowest) != 0 ||
      ::sched_setscheduler(0, SCHED_IDLE, &none) != 0)
    ::_exit(1);
  for (;;) {
    for (int turn = 0; turn < kTurns; turn++) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#else
      asm volatile("yield");
#endif
    }
  }
}

}  // namespace

Awake::Awake() {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  ::sched_getaffinity(0, sizeof ours, &ours);
  const pid_t parent = ::getpid();
  for (std::size_t processor = 0; processor < CPU_SETSIZE; processor++) {
    if (!CPU_ISSET(processor, &ours)) continue;
    const pid_t pid = ::fork();
    if (pid == 0) spin_on(processor, parent);
    if (pid < 0) {
      const int error = errno;
      end();
      throw SystemError("fork what keeps a processor awake", error);
    }
    processes_.push_back(pid);
  }
}

Awake::~Awake() {
  end();
}

void Awake::end() {
  for (const pid_t pid : processes_) ::kill(pid, SIGKILL);
  for (const pid_t pid : processes_) ::waitpid(pid, nullptr, 0);
  processes_.clear();
}

}  // namespace kilofork
