// What a test uses: files, names of shared memory, processes. check.cpp removes what a test leaves
// behind, and fails the test for it.
#pragma once

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "check.hpp"

namespace kilofork::check {

// The temporary folder of the present test.
const std::filesystem::path& folder();

inline std::string file(const std::string& name) {
  return folder() / name;
}
// A name for shared memory; always the same in one test.
inline std::string segment_name() {
  return std::string("/").append(folder().filename());
}

inline std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  CHECK(stream.good());
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A log that cannot be synced: fdatasync(2) of this descriptor fails with EINVAL.
inline Fd unsyncable() {
  return Fd(::eventfd(0, EFD_CLOEXEC));
}

// Without their newlines; text after the last newline is a line, too.
inline std::vector<std::string> read_lines(const std::string& path) {
  std::istringstream stream(read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Waits until `condition` holds. No test measures how long that takes.
template <typename Condition>
bool holds_in_time(Condition condition) {
  constexpr int kTriesBeforeSleep = 1000;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (int tries = 0; !condition(); tries++) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    if (tries > kTriesBeforeSleep) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// A forked process. It is killed if it goes out of scope before wait().
class Process {
 public:
  // In the new process, runs `body`, then exits: 0, or 1 when a CHECK in it has failed.
  template <typename Body>
  explicit Process(Body body) : pid_(::fork()) {
    CHECK(pid_ >= 0);
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      body();
    } catch (const std::exception& error) {
      const std::string text = std::string("    in a forked process: ") + error.what() + "\n";
      (void)!::write(STDERR_FILENO, text.data(), text.size());
      ::_exit(1);
    }
    ::_exit(0);
  }
  Process(Process&& other) noexcept : pid_(other.pid_), ours_(std::exchange(other.ours_, false)) {}
  Process& operator=(Process&&) = delete;
  ~Process() {
    if (!ours_) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const { CHECK_EQ(::kill(pid_, number), 0); }
  bool has_ended() {
    if (ours_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) ours_ = false;
    return !ours_;
  }
  // Its status, as of waitpid(2). It must end in time.
  int wait() {
    CHECK(holds_in_time([this] { return has_ended(); }));
    return status_;
  }

 private:
  pid_t pid_;
  bool ours_ = true;  // to be waited for
  int status_ = 0;
};

// Holds a process: signals to it take effect when the holder goes out of scope. ptrace(2).
class Held {
 public:
  explicit Held(pid_t pid) : pid_(pid) {
    CHECK_EQ(::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr), 0);
    CHECK_EQ(::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr), 0);
    CHECK_EQ(::waitpid(pid, nullptr, __WALL), pid);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr); }

 private:
  pid_t pid_;
};

}  // namespace kilofork::check
