#include "spawn.hpp"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "process/descriptors.hpp"

namespace kilofork {

namespace {

// A step of the new process that failed, sent through a pipe that exec closes when all went well.
struct FailedStep {
  const char* step;  // both processes are of one image
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

[[noreturn]] void give_up(int report, const char* step) {
  const FailedStep failed{.step = step, .error = errno};
  (void)!::write(report, &failed, sizeof failed);
  ::_exit(1);
}

// libuv has its own dispositions and mask; an ignored or blocked signal would outlive exec.
void reset_signals() {
  for (int signal = 1; signal < NSIG; signal++) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// New process, between fork and exec of a program with threads: only calls that are safe in a
// signal handler, no allocation.
[[noreturn]] void become_supervisor(std::array<int, 6> inherited, int report,
                                    const SupervisorStart& start, char* const* argv) {
  reset_signals();
  ::setsid();  // Ctrl-C goes to the front alone
  // Out of the way first: a source may have the number of another one's place.
  constexpr int kOutOfTheWay = 64;
  for (int& fd : inherited)
    if ((fd = ::fcntl(fd, F_DUPFD_CLOEXEC, kOutOfTheWay)) < 0) give_up(report, "dup");
  if ((report = ::fcntl(report, F_DUPFD_CLOEXEC, kOutOfTheWay)) < 0) ::_exit(1);
  int place = kControlFd;
  for (const int fd : inherited)
    if (::dup2(fd, place++) < 0) give_up(report, "dup2");
  const int null = ::open("/dev/null", O_RDWR);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(null, STDOUT_FILENO) < 0)
    give_up(report, "open /dev/null");
  if (::fcntl(STDERR_FILENO, F_SETFD, 0) != 0) give_up(report, "keep stderr");  // Node had it close
  // A Node process holds descriptors that it does not speak of.
  if (::close_range(kFirstFreeFd, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up(report, "close_range");
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
