// Threads that keep the processors from halting.
#include "awake.hpp"

#include <sched.h>
#include <sys/resource.h>

#include <filesystem>
#include <string>
#include <vector>

#include "check.hpp"
#include "clock.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

std::vector<pid_t> threads() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task"))
    found.push_back(std::stoi(entry.path().filename().string()));
  return found;
}

std::size_t count_spinning() {
  std::size_t count = 0;
  for (const pid_t thread : threads())
    if (::sched_getscheduler(thread) == SCHED_IDLE &&
        ::getpriority(PRIO_PROCESS, static_cast<id_t>(thread)) == 19)
      count++;
  return count;
}

TEST("each processor has a thread of the lowest priority, until the end") {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  CHECK_EQ(::sched_getaffinity(0, sizeof ours, &ours), 0);
  {
    const Awake awake;
    CHECK(check::holds_in_time(
        [&] { return count_spinning() == static_cast<std::size_t>(CPU_COUNT(&ours)); }));
    const Nanoseconds spent = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(check::holds_in_time(
        [&] { return read_clock(CLOCK_PROCESS_CPUTIME_ID) > spent + 20 * kMillisecond; }));
  }
  CHECK_EQ(count_spinning(), 0U);
}

}  // namespace
}  // namespace kilofork
