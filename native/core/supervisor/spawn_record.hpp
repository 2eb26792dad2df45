// What becomes of the children, for people and for machines: records in the log, and lines of JSON
// in a file of their own. Written by the supervisor alone.
//
//   {"timeMs":1595000000000.123,"event":"fork","cause":"queue","pid":17,"slot":3,
//    "alive":12,"idle":5,"waiting":8}
//
// The events are fork, retire (told to leave) and end, which has "exit" or "signal", too. `alive`
// is the number of children after the event; `idle` and `waiting` are what the pool's last look
// saw, on which a fork for "queue" or "spare low" and a retirement for "idle" rest.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
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

  // `file`: an open file for the lines of JSON. `buffer`: kBufferBytes, kept by the caller.
  SpawnRecord(int log, int file, std::span<char> buffer, PendingRecords& pending)
      : fd_(log), log_(log, buffer), file_(file), pending_(pending) {}

  struct Child {
    pid_t pid;
    std::size_t slot;
    Cause cause;
  };
  void forked(const Child& child, std::size_t alive, const Census& seen);
  void retires(const Child& child, std::size_t alive, const Census& seen);
  // `status` as of waitpid(2).
  void ended(const Child& child, int status, std::size_t alive, const Census& seen);

  // The end of a child is a part of the books: a record of it that could not be written is owed.
  // So are the markers of heads that children have left behind.
  [[nodiscard]] bool has_pending() const { return !ends_.empty() || pending_.torn_heads > 0; }
  void write_pending();
  // What a supervisor that was killed has owed is lost. False: so there is, or it is still owed.
  [[nodiscard]] bool is_complete() const { return pending_.ends == 0 && pending_.torn_heads == 0; }
  // For the executable that takes over: the texts of the records.
  [[nodiscard]] const std::vector<std::string>& pending_ends() const { return ends_; }
  void take_over(std::vector<std::string> ends) { ends_ = std::move(ends); }

  // The supervisor's other records. False: it is not in the log.
  bool write(std::string_view text);
  // A log that is dead gets no more records, until there is another.
  void suspend() { suspended_ = true; }
  void resume() { suspended_ = false; }
  // Who leaves must not leave a torn head. True: there is none.
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
  std::vector<std::string> ends_;  // the texts of those that are owed
};

}  // namespace kilofork
