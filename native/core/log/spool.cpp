#include "log/spool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace kilofork {

bool needs_spool(int log) {
  struct stat status {};
  if (::fstat(log, &status) != 0) fail("fstat of the log");
  return !S_ISREG(status.st_mode) && (!S_ISCHR(status.st_mode) || ::isatty(log) == 1);
}

Fd make_spool() {
  Fd spool(::memfd_create("kilofork-log", MFD_CLOEXEC));
  if (!spool || ::fcntl(spool.get(), F_SETFL, O_APPEND) != 0) fail("memfd_create for the log");
  return spool;
}

Fd open_reader(int log) {
  const std::string path = "/proc/self/fd/" + std::to_string(log);
  Fd reader(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!reader) reader.reset(::fcntl(log, F_DUPFD_CLOEXEC, 3));
  if (!reader) fail("dup of the log's descriptor");
  // Each part that sendfile(2) copies takes a page of a pipe's room, however small it is.
  constexpr int kRoom = 1 << 20;
  ::fcntl(reader.get(), F_SETPIPE_SZ, kRoom);
  return reader;
}

off_t Spool::end_of_records() const {
  std::array<char, 512> bytes{};
  off_t end = ::lseek(spool_, 0, SEEK_END);
  while (end > state_.copied) {
    const off_t start = std::max(state_.copied, end - static_cast<off_t>(bytes.size()));
    const ssize_t got = ::pread(spool_, bytes.data(), static_cast<std::size_t>(end - start), start);
    if (got <= 0) break;
    const std::string_view text(bytes.data(), static_cast<std::size_t>(got));
    const std::size_t newline = text.rfind('\n');
    if (newline != std::string_view::npos) return start + static_cast<off_t>(newline) + 1;
    end = start;
  }
  return state_.copied;
}

off_t Spool::waiting() const {
  return ::lseek(spool_, 0, SEEK_END) - state_.copied;
}

// A socket cannot be opened again and may block: it has room for this once poll(2) says so.
Spool::Took Spool::copy(off_t end, Nanoseconds patience) {
  constexpr off_t kAtOnce = 16 << 10;
  pollfd polled{.fd = reader_, .events = POLLOUT, .revents = 0};
  if (::poll(&polled, 1, static_cast<int>(patience / kMillisecond)) <= 0) return Took::nothing;
  if (send(static_cast<std::size_t>(std::min(end - state_.copied, kAtOnce))) > 0) return Took::some;
  return errno == EAGAIN || errno == EINTR ? Took::nothing : Took::failed;
}

// Terminals of older kernels and descriptors with O_APPEND cannot be written to by sendfile(2).
ssize_t Spool::send(std::size_t most) {
  static_assert(sizeof(off_t) == sizeof state_.copied);
  const ssize_t sent = ::sendfile(reader_, spool_, &state_.copied, most);
  if (sent >= 0 || errno != EINVAL) return sent;
  std::array<char, 4096> bytes{};
  const ssize_t got = ::pread(spool_, bytes.data(), std::min(bytes.size(), most), state_.copied);
  const ssize_t written = ::write(reader_, bytes.data(), static_cast<std::size_t>(got));
  if (written > 0) state_.copied += written;
  return written;
}

bool Spool::copy_all(Nanoseconds patience) {
  const off_t end = end_of_records();
  while (state_.copied < end)
    if (copy(end, patience) != Took::some) return false;
  return true;
}

// A pipe may refer to the pages of the spool. In whole units, so that the kernel clears no part of
// a huge page that is still to be read.
void Spool::trim() {
  constexpr off_t kUnit = 2 << 20;
  const off_t end = state_.copied / kUnit * kUnit;
  if (end <= trimmed_) return;
  ::fallocate(spool_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, trimmed_, end - trimmed_);
  trimmed_ = end;
}

}  // namespace kilofork
