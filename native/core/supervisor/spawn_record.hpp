// Records forks, retirements and ends of children: in the log, and as lines of JSON in a file of
// their own. Runs in the supervisor.
//
//   {"timeMs":1595000000000.123,"event":"fork","cause":"queue","pid":17,"slot":3,
//    "alive":12,"idle":5,"waiting":8}
//
// Events are fork, retire (told to leave) and end, which also has "exit" or "signal". `alive` is
// the number of children after the event; `idle` and `waiting` are of the last sample.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cause.hpp"
#include "log/append_log.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/sizing.hpp"

namespace kilofork {

class SpawnRecord {
 public:
  static constexpr std::size_t kBufferBytes = 512;

  // `file`: descriptor for the lines of JSON. `buffer`: kBufferBytes of memory; the caller keeps
  // it.
  SpawnRecord(int log, int file, std::span<char> buffer, PendingRecords& pending,
              UtcOffset& offset = UtcOffset::of_process())
      : fd_(log), log_(log, buffer, offset), file_(file), pending_(pending) {}

  struct Child {
    pid_t pid;
    std::size_t slot;
    Cause cause;
  };
  void forked(const Child& child, std::size_t alive, const Census& seen);
  void retires(const Child& child, std::size_t alive, const Census& seen);
  // `status` as of waitpid(2).
  void ended(const Child& child, int status, std::size_t alive, const Census& seen);

  // Pending: records of ends that could not be written, and markers for torn heads that children
  // could not close. They are written when the disk has room again.
  [[nodiscard]] bool has_pending() const { return !ends_.empty() || pending_.torn_heads > 0; }
  void write_pending();
  // False if end records are pending, or were lost with a killed supervisor.
  [[nodiscard]] bool is_complete() const { return pending_.ends == 0 && pending_.torn_heads == 0; }
  // For the next executable of the supervisor: the texts of the pending records.
  [[nodiscard]] const std::vector<std::string>& pending_ends() const { return ends_; }
  void take_over(std::vector<std::string> ends) { ends_ = std::move(ends); }

  // Any other record of the supervisor. False if it could not be written.
  bool write(std::string_view text);
  // Between the two, nothing is written: the log is dead.
  void suspend() { suspended_ = true; }
  void resume() { suspended_ = false; }
  // Before the process ends, see AppendLog.
  bool close_torn_head() { return log_.close_torn_head(); }

 private:
  bool commit() { return !suspended_ && log_.commit(); }
  void write_line(const char* event, const Child& child, std::string_view how, std::size_t alive,
                  const Census& seen) const;

  int fd_;
  AppendLog log_;
  int file_;
  PendingRecords& pending_;
  bool suspended_ = false;
  std::vector<std::string> ends_;  // texts of pending records
};

}  // namespace kilofork
