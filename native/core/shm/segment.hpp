// A segment of POSIX shared memory, as bytes; scoreboard.hpp says what lies in it.
//
// Every process that writes to a segment holds a shared flock(2) on it. A process that gets the
// exclusive lock knows that all of those have ended, and may remove the name.
//
// Anybody may put a file under such a name, and change it at any time. So a reader does not map the
// file, which may shrink (SIGBUS): it reads into private memory. Opening waits for nobody: not for
// the writer of a fifo, not for the holder of a lease. shm_open(3), posix_fallocate(3), flock(2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/fd.hpp"

namespace kilofork {

class Segment {
 public:
  // Names begin with "/". These four throw SystemError.
  //
  // A new segment: mode 0600, zeroed, allocated, locked. Leaves nothing behind when it fails.
  static Segment create(const std::string& name, std::size_t bytes);
  // A segment that exists, locked.
  static Segment open(const std::string& name);
  // The segment that `fd` refers to, with the lock that the descriptor has or has not.
  static Segment map(Fd fd);
  // A segment that exists, to be read only: private memory of its size, zeroed until refresh().
  // Also by the path of a descriptor below /proc, as when its name was removed.
  static Segment copy(const std::string& name);

  // Reads a part of a copy anew; nothing if the memory is shared. Throws SystemError, EPROTO if the
  // segment has shrunk.
  void refresh(std::size_t offset, std::size_t bytes);

  // Removes the name if no process holds a lock. False if one does, or the segment is another
  // user's, or there is none.
  static bool sweep(const std::string& name);
  // Whether a process holds a lock. True if that cannot be told.
  static bool is_locked(const std::string& name);
  // Throws SystemError. A name that does not exist is no error.
  static void remove(const std::string& name);

  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&&) = delete;
  ~Segment();

  [[nodiscard]] std::span<std::byte> memory() const { return memory_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  enum class Memory : std::uint8_t { shared, copied };
  Segment(Fd fd, std::size_t bytes, Memory kind);

  Fd fd_;
  Memory kind_;
  std::span<std::byte> memory_;
};

}  // namespace kilofork
