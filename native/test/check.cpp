// Runs the tests. Each has a process and a process group of its own, so that it may change its time
// zone, limits and signals, and crash. However a test ended, its processes, its shared memory and
// its folder are removed. A test that passed, but left a process, a descriptor or a name behind,
// fails.
#include "check.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/escape.hpp"
#include "sandbox.hpp"

namespace kilofork::check {

namespace {

namespace fs = std::filesystem;

constexpr unsigned kLongestTest = 60;  // seconds; far more than any needs

fs::path g_folder;
volatile pid_t g_test = 0;                // the process of the present test
volatile sig_atomic_t g_interrupted = 0;  // 1: end the test, clean up, and run no other

// In a function, since tests register before the variables of this file exist.
std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::ptrdiff_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), {});
}

// Runs in the process of the test. 0: passed.
int run(const Test& test) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(kLongestTest);
  // As the supervisor does. Only root may install a filter of system calls without it: seccomp(2).
  if (::geteuid() != 0) ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const std::ptrdiff_t before = open_descriptors();
  try {
    test.run();
  } catch (const std::exception& error) {
    std::printf("    %s\n", error.what());
    return 1;
  }
  const std::ptrdiff_t after = open_descriptors();
  if (after != before) std::printf("    %td descriptors before, %td after\n", before, after);
  return after == before ? 0 : 1;
}

// False if a process of the group had to be killed, since it had not ended within a moment.
bool reap_group(pid_t group) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  bool killed = false;
  for (pid_t ended = 0; (ended = ::waitpid(-1, nullptr, WNOHANG)) >= 0;) {
    if (ended > 0) continue;
    if (!killed && std::chrono::steady_clock::now() > deadline) {
      killed = true;
      ::kill(-group, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return !killed;
}

// False if shared memory of the test was there.
bool sweep_shared_memory() {
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator("/dev/shm"))
    if (entry.path().filename().string().starts_with(g_folder.filename().string()))
      left.push_back(entry.path());
  for (const auto& path : left) fs::remove(path);
  return left.empty();
}

void on_interrupt(int /*signal*/) {
  g_interrupted = 1;
  if (g_test > 0) ::kill(g_test, SIGKILL);
}

bool passes(const Test& test) {
  std::string pattern = fs::temp_directory_path() / "kilofork-unit-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw Failed(std::string("mkdtemp of ") + pattern);
  g_folder = pattern;
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw Failed("fork");
  if (pid == 0) {
    for (const int number : {SIGINT, SIGTERM}) ::signal(number, SIG_DFL);
    std::exit(run(test));  // not _exit(): LeakSanitizer runs at exit
  }
  g_test = pid;
  int status = 0;
  ::waitpid(pid, &status, 0);
  g_test = 0;
  bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (WIFSIGNALED(status))
    std::printf("    ended by a signal: %s\n", ::strsignal(WTERMSIG(status)));
  if (!passed) ::kill(-pid, SIGKILL);
  if (!reap_group(pid) && passed) {
    std::printf("    left a process behind\n");
    passed = false;
  }
  if (!sweep_shared_memory() && passed) {
    std::printf("    left shared memory behind\n");
    passed = false;
  }
  fs::remove_all(g_folder);
  return passed;
}

// Runs the tests with `part` in their sentence. True if all have passed.
bool run_tests(const char* part) {
  int run = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    if (g_interrupted != 0 || std::strstr(test.sentence, part) == nullptr) continue;
    const auto start = std::chrono::steady_clock::now();
    const bool passed = passes(test);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%s %s (%.2f s)\n", passed ? "ok    " : "FAILED", test.sentence, took.count());
    run++;
    if (!passed) failed++;
  }
  std::printf("%d of %d tests failed\n", failed, run);
  return failed == 0 && g_interrupted == 0;
}

}  // namespace

Test::Test(const char* its_sentence, void (*its_body)()) : sentence(its_sentence), run(its_body) {
  tests().push_back(*this);
}

void fail_at(const char* file, int line, const std::string& what) {
  throw Failed(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

std::string quote(std::string_view text) {
  constexpr std::size_t kEnough = 500;
  if (text.size() > kEnough) return quote(text.substr(0, kEnough)) + " and more";
  std::string escaped(text.size() * kLongestEscape, '\0');
  escaped.resize(static_cast<std::size_t>(escape(text, escaped.data()) - escaped.data()));
  return '"' + escaped + '"';
}

const fs::path& folder() {
  return g_folder;
}

}  // namespace kilofork::check

int main(int argc, char** argv) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // orphans of a test come here
  for (const int number : {SIGINT, SIGTERM}) ::signal(number, kilofork::check::on_interrupt);
  return kilofork::check::run_tests(argc > 1 ? argv[1] : "") ? 0 : 1;
}
