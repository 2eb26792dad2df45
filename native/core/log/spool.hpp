// A log that is no regular file (pipe, socket, terminal) has a spool: a memory file that everybody
// appends to as to a log file. One process at a time copies it to the log's reader: the log writer
// (log/log_writer.hpp), and at the end whoever writes the last record.
//
// sendfile(2) itself counts what was copied, in shared memory and before it returns. So a copying
// process that is killed leaves the right count, and the next one copies no byte twice. Memory of
// what was copied is given back. memfd_create(2), sendfile(2), fallocate(2).
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "shm/header.hpp"

namespace kilofork {

// ---- front; both throw SystemError ----

// False for regular files, and for devices such as /dev/null: they never make a writer wait.
bool needs_spool(int log);
Fd make_spool();
// Another open file of the same pipe or terminal, which does not block. Sets no flag of `log`,
// which other processes share. Where it cannot be opened again, as a socket, a duplicate.
Fd open_reader(int log);

// ---- the process that copies ----

class Spool {
 public:
  Spool(int spool, int reader, SpoolState& state) : spool_(spool), reader_(reader), state_(state) {}

  // The end of the last whole record.
  [[nodiscard]] off_t end_of_records() const;
  // Bytes that the reader has not been given.
  [[nodiscard]] off_t waiting() const;
  enum class Took : std::uint8_t {
    some,
    nothing,  // the reader had no room for as long as `patience`, or a signal came
    failed,   // errno says why; EPIPE: there is no reader
  };
  // Copies a part of what lies before `end`.
  Took copy(off_t end, Nanoseconds patience);
  // Copies all of it. False if the reader takes nothing for so long, or is gone.
  bool copy_all(Nanoseconds patience);
  // Gives back memory.
  void trim();

 private:
  ssize_t send(std::size_t most);

  int spool_;
  int reader_;
  SpoolState& state_;
  off_t trimmed_ = 0;
};

}  // namespace kilofork
