#include "process/memory.hpp"

#include <sys/resource.h>

#include <cstdint>
#include <sstream>

#include "check.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

// In bytes; 0 if there is no such line.
std::size_t meminfo(const std::string& key) {
  std::istringstream stream(check::read_file("/proc/meminfo"));
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(key + ":")) return std::stoul(line.substr(key.size() + 1)) * 1024;
  return 0;
}

TEST("the available memory is the MemAvailable of the kernel") {
  if (meminfo("MemAvailable") == 0) return;
  const std::size_t total = meminfo("MemTotal");
  // The value changes all the time, so two readings agree only now and then.
  CHECK(check::holds_in_time([&] {
    const std::size_t available = available_memory();
    CHECK(available > 0);
    CHECK(available <= total);
    return available == meminfo("MemAvailable");
  }));
}

TEST("if it cannot be read, the available memory has no limit") {
  rlimit before{};
  CHECK_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit no_more{.rlim_cur = 0, .rlim_max = before.rlim_max};
  CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &no_more), 0);
  const std::size_t available = available_memory();
  CHECK_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  CHECK_EQ(available, SIZE_MAX);
}

}  // namespace
}  // namespace kilofork
