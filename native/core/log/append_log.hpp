// The append-only log: one record, one line, one write(2) on a file opened with O_APPEND, which
// Linux makes atomic among processes on its local file systems. Used by front, supervisor and
// children alike; each process has an AppendLog of its own on the one open file.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/escape.hpp"
#include "base/fd.hpp"

namespace kilofork {

// Opens or creates a log, mode 0640, without following a link, and takes the flock(2) that a
// second server is refused by. A character device will do too (/dev/null). Throws SystemError:
// EWOULDBLOCK when another server holds the file; when somebody may have put it there to have it
// written to: EMEDIUMTYPE for what is no file, EPERM for one of another owner, EMLINK for one that
// has other names.
Fd open_log(const std::string& path);

class AppendLog {
 public:
  // The longest record for requests whose lines have `longest_line` bytes.
  static std::size_t buffer_bytes(std::size_t longest_line);

  // `buffer` is where records are built: buffer_bytes() of it, kept by the caller.
  AppendLog(int fd, std::span<char> buffer, UtcOffset& offset = UtcOffset::of_process())
      : fd_(fd), buffer_(buffer), time_(offset) {}

  // Build a record: record().text("have child pid ").number(17) …
  AppendLog& record();
  AppendLog& text(std::string_view text);
  AppendLog& number(std::int64_t number);
  AppendLog& quoted(std::string_view text);  // with its quotes, escaped

  // … and write it. True: the whole record is in the file. False: it is not, errno says why, and
  // nothing may be acknowledged. After a short write (disk full) the file ends in a torn head,
  // unless another process wrote behind it: it is not completed, but closed by the marker that the
  // next record of this process begins with.
  bool commit();

  // Who leaves must not leave a torn head behind. True: there is none, or it was closed by a marker
  // on a line of its own. System calls only: safe in a signal handler.
  bool close_torn_head();

 private:
  int fd_;
  std::span<char> buffer_;
  char* end_ = nullptr;
  bool torn_ = false;
  RecordTime time_;
};

// What closes a torn head: it makes no record of what stands before it.
constexpr std::string_view kTornMarker = "<torn>\n";
// Closes heads that others have left open, as many as can be.
void close_torn_heads(int log, std::atomic<std::uint32_t>& heads);

}  // namespace kilofork
