#include "shm/segment.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <utility>

#include "base/error.hpp"

namespace kilofork {

namespace {

// A path below /proc is a descriptor of a process that has the segment open.
Fd open_segment(const std::string& name, int flags) {
  return Fd(name.starts_with("/proc/") ? ::open(name.c_str(), flags | O_CLOEXEC)
                                       : ::shm_open(name.c_str(), flags | O_CLOEXEC, 0));
}

}  // namespace

Segment Segment::create(const std::string& name, std::size_t bytes) {
  Fd fd;
  for (;;) {
    fd.reset(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) fail("shm_open " + name);
    struct stat status {};
    if (::flock(fd.get(), LOCK_SH) == 0 && ::fstat(fd.get(), &status) == 0 && status.st_nlink > 0)
      break;
    // Before it was locked, another process has swept it as abandoned: make another.
  }
  try {
    // Allocate now, so that a full tmpfs is an error here and not a SIGBUS in a child later.
    if (const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); error != 0)
      throw SystemError("allocate " + std::to_string(bytes) + " bytes for " + name, error);
    return {std::move(fd), bytes, true};
  } catch (...) {
    ::shm_unlink(name.c_str());
    throw;
  }
}

Segment Segment::open(const std::string& name, bool writable) {
  Fd fd = open_segment(name, writable ? O_RDWR : O_RDONLY);
  if (!fd) fail("shm_open " + name);
  if (writable && ::flock(fd.get(), LOCK_SH) != 0) fail("flock " + name);
  return map(std::move(fd), writable);
}

Segment Segment::map(Fd fd, bool writable) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("fstat of the shared memory");
  return {std::move(fd), static_cast<std::size_t>(status.st_size), writable};
}

Segment::Segment(Fd fd, std::size_t bytes, bool writable) : fd_(std::move(fd)) {
  if (bytes == 0) throw SystemError("shared memory of 0 bytes", EPROTO);
  const int access = PROT_READ | (writable ? PROT_WRITE : 0);
  void* const memory = ::mmap(nullptr, bytes, access, MAP_SHARED, fd_.get(), 0);
  if (memory == MAP_FAILED) fail("mmap of the shared memory");
  memory_ = {static_cast<std::byte*>(memory), bytes};
}

Segment::Segment(Segment&& other) noexcept
    : fd_(std::move(other.fd_)), memory_(std::exchange(other.memory_, {})) {}

Segment::~Segment() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

bool Segment::sweep(const std::string& name) {
  const Fd fd(::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  // If the name was removed before the lock was ours, it may be another segment's by now.
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || status.st_nlink == 0) return false;
  return ::shm_unlink(name.c_str()) == 0;
}

bool Segment::is_locked(const std::string& name) {
  const Fd fd = open_segment(name, O_RDONLY);
  return !fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

void Segment::remove(const std::string& name) {
  if (::shm_unlink(name.c_str()) != 0 && errno != ENOENT) fail("shm_unlink " + name);
}

}  // namespace kilofork
