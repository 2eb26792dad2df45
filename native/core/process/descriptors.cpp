#include "process/descriptors.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace kilofork {

namespace {

// Closes the descriptors from `first` to `last`, both included. One by one where there is no
// close_range(2): before Linux 5.9, or under a filter that forbids it.
void close_all(unsigned first, unsigned last) {
  if (first > last || ::close_range(first, last, 0) == 0) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto end = std::min<rlim_t>(last, limit.rlim_cur);
  for (rlim_t fd = first; fd <= end; fd++) ::close(static_cast<int>(fd));
}

}  // namespace

void keep_only(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd < static_cast<int>(first)) continue;
    close_all(first, static_cast<unsigned>(fd) - 1);
    first = static_cast<unsigned>(fd) + 1;
  }
  close_all(first, ~0U);
}

}  // namespace kilofork
