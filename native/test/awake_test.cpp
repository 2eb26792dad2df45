// Processes that keep the processors from halting.
#include "awake.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "check.hpp"
#include "clock.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

std::vector<pid_t> children() {
  std::vector<pid_t> found;
  std::ifstream list("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  for (pid_t pid = 0; list >> pid;) found.push_back(pid);
  return found;
}

// " nice 19": its session counts for nothing beside others. Nothing where sessions are no groups.
std::string weight_of_session(pid_t pid) {
  std::string group;
  std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/autogroup"), group);
  return group.empty() ? group : group.substr(group.find(' '));
}

// In all its threads, so far.
Nanoseconds time_of(pid_t pid) {
  clockid_t clock = 0;
  return ::clock_getcpuclockid(pid, &clock) == 0 ? read_clock(clock) : 0;
}

bool spins(pid_t pid) {
  return ::sched_getscheduler(pid) == SCHED_IDLE &&
         ::getpriority(PRIO_PROCESS, static_cast<id_t>(pid)) == 19 && ::getsid(pid) == pid &&
         time_of(pid) > 20 * kMillisecond;
}

TEST(
    "each processor has a process of the lowest priority, in a session of its own, until the end") {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  CHECK_EQ(::sched_getaffinity(0, sizeof ours, &ours), 0);
  {
    const Awake awake;
    const std::vector<pid_t> spinning = children();
    CHECK_EQ(spinning.size(), static_cast<std::size_t>(CPU_COUNT(&ours)));
    cpu_set_t covered;
    CPU_ZERO(&covered);
    for (const pid_t pid : spinning) {
      CHECK(check::holds_in_time([&] { return spins(pid); }));
      const std::string weight = weight_of_session(pid);
      CHECK(weight.empty() || weight == " nice 19");
      cpu_set_t own;
      CHECK_EQ(::sched_getaffinity(pid, sizeof own, &own), 0);
      CHECK_EQ(CPU_COUNT(&own), 1);
      CPU_OR(&covered, &covered, &own);
    }
    CHECK(CPU_EQUAL(&covered, &ours));
  }
  CHECK(children().empty());
}

}  // namespace
}  // namespace kilofork
