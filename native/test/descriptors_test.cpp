// Which descriptors a forked process keeps.
#include "process/descriptors.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/fd.hpp"
#include "check.hpp"
#include "refused_call.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::Process;

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

// Checks in a process of its own that of 64 descriptors and the standard ones those are left.
void check_kept(const std::vector<int>& kept) {
  constexpr int kFirst = 100;
  constexpr int kMany = 64;
  Process process([&] {
    for (int i = 0; i < kMany; i++) CHECK_EQ(::dup2(STDERR_FILENO, kFirst + i), kFirst + i);
    std::vector<int> numbers;
    for (const int each : kept) numbers.push_back(kFirst + each);
    keep_only(numbers);
    for (int fd = 0; fd <= STDERR_FILENO; fd++) CHECK(is_open(fd));
    for (int fd = STDERR_FILENO + 1; fd < kFirst; fd++) CHECK(!is_open(fd));
    for (int i = 0; i < kMany; i++) {
      bool wanted = false;
      for (const int each : kept) wanted = wanted || each == i;
      CHECK_EQ(is_open(kFirst + i), wanted);
    }
  });
  CHECK_EQ(process.wait(), 0);
}

TEST("a process keeps the descriptors that it names, in whatever order, and the standard ones") {
  check_kept({});
  check_kept({0});
  check_kept({63});
  check_kept({5, 3, 4});
  check_kept({63, 0, 31, 31});
}

#ifndef KILOFORK_UNFILTERED
TEST("without close_range(2), whatever its error, the same descriptors are kept") {
  for (const int error : {ENOSYS, EINVAL, EPERM}) {
    Process process([&] {
      check::refuse_call(SYS_close_range, error);
      constexpr int beyond = 300;  // the limit: what is open there stays open
      CHECK_EQ(::dup2(STDERR_FILENO, beyond), beyond);
      const rlimit limit{.rlim_cur = 200, .rlim_max = 200};
      CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
      check_kept({63, 0, 31, 31});
      keep_only({});
      CHECK(!is_open(beyond));
    });
    CHECK_EQ(process.wait(), 0);
  }
}

TEST("exec closes the descriptors from a number on, also without close_range(2)") {
  const auto is_closed_by_exec = [](int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; };
  for (const int error : {0, ENOSYS, EINVAL, EPERM}) {
    Process process([&] {
      if (error != 0) check::refuse_call(SYS_close_range, error);
      for (int fd = 100; fd < 110; fd++) CHECK_EQ(::dup2(STDERR_FILENO, fd), fd);
      close_on_exec(105);
      for (int fd = 100; fd < 110; fd++) CHECK_EQ(is_closed_by_exec(fd), fd >= 105);
    });
    CHECK_EQ(process.wait(), 0);
  }
}
#endif

TEST("standard descriptors may be named, and one that is not open may be, too") {
  Process process([] {
    const int fd = ::dup(STDERR_FILENO);
    keep_only({STDERR_FILENO, STDIN_FILENO, fd, 1000, -1});
    CHECK(is_open(fd) && is_open(STDIN_FILENO) && is_open(STDOUT_FILENO) && !is_open(1000));
  });
  CHECK_EQ(process.wait(), 0);
}

}  // namespace
}  // namespace kilofork
