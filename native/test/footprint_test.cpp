// The memory of a process that has prepared to fork children.
#include "process/footprint.hpp"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>

#include "check.hpp"
#include "sandbox.hpp"
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

namespace kilofork {
namespace {

using check::Process;

std::string content(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool has_exited(int status, int code) {
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

// Tests `condition` in a process of its own, after go_on_beside_mappings().
bool holds_there(bool (*condition)()) {
  Process process(
      [condition] { go_on_beside_mappings([condition] { ::_exit(condition() ? 0 : 1); }); });
  return has_exited(process.wait(), 0);
}

bool holds_in_child(bool (*condition)()) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(condition() ? 0 : 1);
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && has_exited(status, 0);
}

bool has_first_stack() {
  return content("/proc/self/maps").find("[stack]") != std::string::npos;
}

std::string g_command;

bool has_same_command() {
  return content("/proc/self/cmdline") == g_command;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST("the first stack stays with the process, and is not forked") {
  CHECK(holds_there(has_first_stack));
  CHECK(holds_there([] { return holds_in_child([] { return !has_first_stack(); }); }));
}
#endif

TEST("ps shows the same command as before, also for children") {
  g_command = content("/proc/self/cmdline");
  CHECK(!g_command.empty());
  CHECK(holds_there(has_same_command));
  CHECK(holds_there([] { return holds_in_child(has_same_command); }));
}

TEST("a body that returns ends the process") {
  Process process([] { go_on_beside_mappings([] {}); });
  CHECK(has_exited(process.wait(), 1));
}

#if defined(RSEQ_SIG)
TEST("no restartable sequence is registered any more") {
  if (__rseq_size == 0) return;  // none was
  Process process([] {
    leave_restartable_sequences();
    alignas(32) static std::byte area[32]{};
    // While there is another: EINVAL.
    ::_exit(::syscall(SYS_rseq, area, sizeof area, 0, RSEQ_SIG) == 0 ? 0 : 1);
  });
  CHECK(has_exited(process.wait(), 0));
}
#endif

}  // namespace
}  // namespace kilofork
