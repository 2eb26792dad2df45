#include "spawn.hpp"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "process/descriptors.hpp"

namespace kilofork {

namespace {

// The step that failed in the new process, which sends it through a pipe. If none fails, exec
// closes the pipe.
struct FailedStep {
  const char* step;  // the same address in both processes
  int error;
};

struct Pair {
  Fd ours, theirs;
};

Pair make_stream(const char* step) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail(step);
  return {.ours = Fd(ends[0]), .theirs = Fd(ends[1])};
}

// New process.
[[noreturn]] void give_up(int report, const char* step) {
  const FailedStep failed{.step = step, .error = errno};
  (void)!::write(report, &failed, sizeof failed);
  ::_exit(1);
}

// New process. Node ignores and blocks signals, and exec would keep that.
void reset_signals() {
  for (int signal = 1; signal < NSIG; signal++) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// New process, between fork and exec of a program with threads: makes only calls that are safe in a
// signal handler, and allocates nothing.
[[noreturn]] void become_supervisor(std::array<int, 6> inherited, int report,
                                    const SupervisorStart& start, char* const* argv) {
  reset_signals();
  ::setsid();  // Ctrl-C goes to the front alone
  // Move all out of the way first: one may have the number that another is to get.
  constexpr int kOutOfTheWay = 64;
  for (int& fd : inherited)
    if ((fd = ::fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay)) < 0) give_up(report, "dup");
  if ((report = ::fcntl(report, F_DUPFD_CLOEXEC, kOutOfTheWay)) < 0) ::_exit(1);
  const int reader =
      start.log_reader < 0 ? -1 : ::fcntl(start.log_reader, F_DUPFD_CLOEXEC, kOutOfTheWay);
  int place = kControlFd;
  for (const int fd : inherited)
    if (::dup2(fd, place++) < 0) give_up(report, "dup2");
  const int null = ::open("/dev/null", O_RDWR);
  const int output = start.log_reader < 0 ? null : reader;
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0)
    give_up(report, "open /dev/null");
  if (::fcntl(STDERR_FILENO, F_SETFD, 0) != 0) give_up(report, "keep stderr");
  // Node and its libraries have descriptors that are unknown here.
  close_on_exec(kFirstFreeFd);
  if (start.run_as && (::setgroups(0, nullptr) != 0 ||
                       ::setresgid(start.run_as->gid, start.run_as->gid, start.run_as->gid) != 0 ||
                       ::setresuid(start.run_as->uid, start.run_as->uid, start.run_as->uid) != 0))
    give_up(report, "change the user");
  ::execv(start.executable.c_str(), argv);
  give_up(report, "exec");
}

}  // namespace

StartedSupervisor start_supervisor(const SupervisorStart& start) {
  Pair control = make_stream("socketpair for control");
  Pair lifeline = make_stream("socketpair for the lifeline");
  std::array<int, 2> report{};
  if (::pipe2(report.data(), O_CLOEXEC) != 0) fail("pipe");
  const Fd report_read(report[0]);
  Fd report_write(report[1]);

  std::string name = "kilofork-supervisor";
  std::string segment_name = start.segment_name;
  const std::array<char*, 3> argv{name.data(), segment_name.data(), nullptr};
  // In the order of SupervisorFd.
  const std::array<int, 6> inherited{control.theirs.get(), start.listener,        start.log,
                                     start.segment,        lifeline.theirs.get(), start.spawn_log};
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork the supervisor");
  if (pid == 0) become_supervisor(inherited, report_write.get(), start, argv.data());

  report_write.reset();
  FailedStep failed{};
  ssize_t got = 0;
  while ((got = ::read(report_read.get(), &failed, sizeof failed)) < 0 && errno == EINTR) continue;
  if (got == sizeof failed) {
    ::waitpid(pid, nullptr, 0);
    throw SystemError(std::string(failed.step) + " for " + start.executable, failed.error);
  }
  return {.pid = pid, .control = std::move(control.ours), .lifeline = std::move(lifeline.ours)};
}

}  // namespace kilofork
