#include "process/descriptors.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/fd.hpp"

namespace kilofork {

namespace {

// Calls `act` with each open descriptor from `first` to `last`, both included. Without /proc, with
// each possible one. Allocates nothing: getdents64(2).
template <typename Act>
void for_each_descriptor(unsigned first, unsigned last, Act act) {
  const Fd folder(::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    const rlim_t end = std::min<rlim_t>(rlim_t{last} + 1, limit.rlim_cur);
    for (rlim_t fd = first; fd < end; fd++) act(static_cast<int>(fd));
    return;
  }
  // As the kernel lays an entry out.
  constexpr std::size_t kLengthAt = 16;
  constexpr std::size_t kNameAt = 19;
  alignas(std::uint64_t) std::array<char, 4096> entries{};
  long bytes = 0;
  while ((bytes = ::syscall(SYS_getdents64, folder.get(), entries.data(), entries.size())) > 0) {
    std::uint16_t length = 0;
    for (const char* entry = entries.data(); entry < entries.data() + bytes; entry += length) {
      std::memcpy(&length, entry + kLengthAt, sizeof length);
      unsigned fd = 0;  // the name is a number, or a point or two
      const char* const name = entry + kNameAt;
      if (std::from_chars(name, name + std::strlen(name), fd).ec != std::errc{}) continue;
      if (fd >= first && fd <= last && static_cast<int>(fd) != folder.get())
        act(static_cast<int>(fd));
    }
  }
}

// One by one where close_range(2) is missing, knows less (before Linux 5.11), or is forbidden by a
// filter, as by those of old container engines.
void close_all(unsigned first, unsigned last) {
  if (first > last || ::close_range(first, last, 0) == 0) return;
  for_each_descriptor(first, last, [](int fd) { ::close(fd); });
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

void close_on_exec(int first) {
  const auto from = static_cast<unsigned>(first);
  if (::close_range(from, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  for_each_descriptor(from, ~0U, [](int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); });
}

}  // namespace kilofork
