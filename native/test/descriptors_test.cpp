// Which descriptors a forked process keeps.
#include "process/descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "base/fd.hpp"
#include "check.hpp"
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
