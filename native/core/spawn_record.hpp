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

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "append_log.hpp"
#include "cause.hpp"
#include "sizing.hpp"

namespace kilofork {

class SpawnRecord {
 public:
  static constexpr std::size_t kBufferBytes = 512;

  // `file`: an open file for the lines of JSON. `buffer`: kBufferBytes, kept by the caller.
  SpawnRecord(int log, int file, std::span<char> buffer) : log_(log, buffer), file_(file) {}

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
  [[nodiscard]] bool owes() const { return !owed_.empty(); }
  void pay();

  // The same log, for the supervisor's other records.
  AppendLog& log() { return log_; }

 private:
  void write_line(const char* event, const Child& child, std::string_view how, std::size_t alive,
                  const Census& seen) const;

  AppendLog log_;
  int file_;
  std::vector<std::string> owed_;
};

}  // namespace kilofork
