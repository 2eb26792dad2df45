#include "log/append_log.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <utility>

#include "base/error.hpp"
#include "base/escape.hpp"

namespace kilofork {

namespace {
constexpr std::string_view kSeparator = " -- ";
constexpr std::string_view kOffset = " -- local time is UTC";
// For the names, pids and counts around the message, which take far less.
constexpr std::size_t kFrame = 256;

// What may stand before a record: a marker, and a record of the offset from UTC.
constexpr std::size_t kRoomBefore =
    kTornMarker.size() + RecordTime::kLength + kOffset.size() + sizeof "+HH:MM:SS";

bool write_torn_marker(int log) {
  return ::write(log, kTornMarker.data(), kTornMarker.size()) ==
         static_cast<ssize_t>(kTornMarker.size());
}

}  // namespace

Fd open_log(const std::string& path) {
  // O_NONBLOCK: opening a fifo without a reader must fail at once.
  Fd fd(::open(path.c_str(),
               O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
               0640));
  if (!fd) fail("open " + path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("fstat " + path);
  if (S_ISCHR(status.st_mode)) return fd;
  if (!S_ISREG(status.st_mode)) throw SystemError(path + " is not a regular file", EMEDIUMTYPE);
  if (status.st_uid != ::geteuid()) throw SystemError(path + " belongs to somebody else", EPERM);
  if (status.st_nlink > 1) throw SystemError(path + " has other names, too", EMLINK);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fail("flock " + path);
  return fd;
}

std::size_t AppendLog::buffer_bytes(std::size_t longest_line) {
  return kRoomBefore + RecordTime::kLength + kFrame + longest_line * kLongestEscape;
}

AppendLog& AppendLog::record() {
  // Leaves room at the front for what may stand before the record, and for the time.
  end_ = buffer_.data() + kRoomBefore + RecordTime::kLength;
  return text(kSeparator);
}

AppendLog& AppendLog::text(std::string_view text) {
  assert(end_ + text.size() < buffer_.data() + buffer_.size());
  end_ = std::copy(text.begin(), text.end(), end_);
  return *this;
}

AppendLog& AppendLog::number(std::int64_t number) {
  end_ = std::to_chars(end_, buffer_.data() + buffer_.size(), number).ptr;
  return *this;
}

AppendLog& AppendLog::quoted(std::string_view text) {
  assert(end_ + text.size() * kLongestEscape + 2 < buffer_.data() + buffer_.size());
  *end_++ = '"';
  end_ = escape(text, end_);
  *end_++ = '"';
  return *this;
}

bool AppendLog::commit() {
  *end_++ = '\n';
  char* start = buffer_.data() + kRoomBefore;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  time_.format(now, start);
  if (!time_.is_published()) start = write_offset_before(start);
  if (torn_) {
    start -= kTornMarker.size();
    std::copy(kTornMarker.begin(), kTornMarker.end(), start);
  }
  const auto length = end_ - start;
  // A signal handler may end the process during the write and close a torn head that is none: a
  // marker too many does no harm.
  const bool was_torn = std::exchange(torn_, true);
  ssize_t written = 0;
  do {
    written = ::write(fd_, start, static_cast<std::size_t>(length));
  } while (written < 0 && errno == EINTR);  // nothing was written; only pipes and terminals do that
  if (written == length) {
    torn_ = false;
    if (!time_.is_published()) time_.publish();
    return true;
  }
  if (written > 0)
    errno = ENOSPC;
  else
    torn_ = was_torn;
  return false;
}

// Returns where that record begins. It has the time of the other.
char* AppendLog::write_offset_before(char* record) const {
  std::array<char, 9> out{};
  const std::string_view offset = RecordTime::write_offset(time_.offset(), out);
  char* const begin = record - RecordTime::kLength - kOffset.size() - offset.size() - 1;
  char* end = std::copy_n(record, RecordTime::kLength, begin);
  end = std::copy(kOffset.begin(), kOffset.end(), end);
  end = std::copy(offset.begin(), offset.end(), end);
  *end = '\n';
  return begin;
}

bool AppendLog::close_torn_head() {
  if (torn_ && write_torn_marker(fd_)) torn_ = false;
  return !torn_;
}

void close_torn_heads(int log, std::atomic<std::uint32_t>& heads) {
  while (heads > 0 && write_torn_marker(log)) heads--;
}

}  // namespace kilofork
