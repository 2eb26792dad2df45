// A segment of POSIX shared memory, as bytes. Knows nothing of what lies in it.
//
// Every process that writes to a segment holds a shared flock(2) on it. Whoever gets the exclusive
// lock knows that all of them have ended, and may remove the name. shm_open(3), posix_fallocate(3),
// flock(2).
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/fd.hpp"

namespace kilofork {

class Segment {
 public:
  // Names begin with "/". All of these throw SystemError.
  //
  // A new one, mode 0600, zeroed, its memory allocated, locked. Leaves nothing behind when it
  // fails.
  static Segment create(const std::string& name, std::size_t bytes);
  // One that exists; locked if `writable`.
  static Segment open(const std::string& name, bool writable);
  // The one that `fd` refers to, with whatever lock is on that descriptor.
  static Segment map(Fd fd, bool writable);

  // Removes the name if nobody holds a lock. False: somebody does, or it is another user's, or
  // there is no such segment.
  static bool sweep(const std::string& name);
  // Whether a process holds a lock. True when that cannot be told.
  static bool is_locked(const std::string& name);
  // A name that does not exist is no error.
  static void remove(const std::string& name);

  Segment(Segment&& other) noexcept;
  Segment& operator=(Segment&&) = delete;
  ~Segment();

  [[nodiscard]] std::span<std::byte> memory() const { return memory_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Segment(Fd fd, std::size_t bytes, bool writable);

  Fd fd_;
  std::span<std::byte> memory_;
};

}  // namespace kilofork
