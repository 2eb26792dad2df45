// The append-only log: one record is one line and one write(2) to a file opened with O_APPEND,
// which is atomic among processes on Linux' local file systems. Front, supervisor and children each
// have an AppendLog of their own on the same open file.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace kilofork {

// Opens or creates a log with mode 0640 and locks it by flock(2), so that a second server is
// refused. Follows no link. Accepts character devices (/dev/null), and locks none. Throws
// SystemError: EWOULDBLOCK if another server has locked the file; EMEDIUMTYPE if it is not a
// regular file; EPERM if it has another owner; EMLINK if it has other names. The last three guard
// against a file that somebody has planted to have it written to.
Fd open_log(const std::string& path);

class AppendLog {
 public:
  // What the longest record needs, if the lines of clients have up to `longest_line` bytes.
  static std::size_t buffer_bytes(std::size_t longest_line);

  // `buffer`: buffer_bytes() of memory where records are built; the caller keeps it.
  AppendLog(int fd, std::span<char> buffer, UtcOffset& offset = UtcOffset::of_process())
      : fd_(fd), buffer_(buffer), time_(offset) {}

  // Build a record, as in log.record().text("have child pid ").number(17).
  AppendLog& record();
  AppendLog& text(std::string_view text);
  AppendLog& number(std::int64_t number);
  AppendLog& quoted(std::string_view text);  // adds quotes, escapes the text

  // Writes the record, and before it, in the same write, a record of the offset from UTC if that is
  // another than the log says. True: all of it is in the file. False: it is not, errno says why,
  // and nothing may be acknowledged. A short write (full disk) leaves a torn head. It is not
  // completed, because another process may have written behind it; the next record of this process
  // begins with the marker that closes it.
  bool commit();

  // Before the process ends: closes a torn head with the marker. False if the marker could not be
  // written. Safe in a signal handler.
  bool close_torn_head();

 private:
  char* write_offset_before(char* record) const;

  int fd_;
  std::span<char> buffer_;
  char* end_ = nullptr;
  bool torn_ = false;
  RecordTime time_;
};

// Closes a torn head: a line that ends in it is no record.
constexpr std::string_view kTornMarker = "<torn>\n";
// Supervisor, and the front at the end. Closes torn heads of processes that have ended, as many as
// the disk has room for. `heads`: how many are left.
void close_torn_heads(int log, std::atomic<std::uint32_t>& heads);

}  // namespace kilofork
