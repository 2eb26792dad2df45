#include "shm/segment.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/error.hpp"

namespace kilofork {

namespace {

// Opens a regular file, by the name of a segment, or by the path of a descriptor below /proc of a
// process that has it open. O_NONBLOCK: opening a fifo, or a file with a lease, must not wait.
Fd open_file(const std::string& name, int access) {
  const int flags = access | O_NONBLOCK | O_CLOEXEC;
  Fd fd(name.starts_with("/proc/") ? ::open(name.c_str(), flags)
                                   : ::shm_open(name.c_str(), flags, 0));
  struct stat status {};
  if (fd && (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))) {
    fd.reset();
    errno = EPROTO;
  }
  return fd;
}

std::size_t size_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) fail("fstat of the shared memory");
  return static_cast<std::size_t>(status.st_size);
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
    return {std::move(fd), bytes, Memory::shared};
  } catch (...) {
    ::shm_unlink(name.c_str());
    throw;
  }
}

Segment Segment::open(const std::string& name) {
  Fd fd = open_file(name, O_RDWR);
  if (!fd) fail("shm_open " + name);
  if (::flock(fd.get(), LOCK_SH) != 0) fail("flock " + name);
  return map(std::move(fd));
}

Segment Segment::map(Fd fd) {
  const std::size_t bytes = size_of(fd.get());
  return {std::move(fd), bytes, Memory::shared};
}

Segment Segment::copy(const std::string& name) {
  Fd fd = open_file(name, O_RDONLY);
  if (!fd) fail("shm_open " + name);
  const std::size_t bytes = size_of(fd.get());
  return {std::move(fd), bytes, Memory::copied};
}

Segment::Segment(Fd fd, std::size_t bytes, Memory kind) : fd_(std::move(fd)), kind_(kind) {
  if (bytes == 0) throw SystemError("shared memory of 0 bytes", EPROTO);
  // A copy takes pages of memory only for what has been read.
  const int flags =
      kind == Memory::shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags,
                              kind == Memory::shared ? fd_.get() : -1, 0);
  if (memory == MAP_FAILED) fail("mmap of the shared memory");
  memory_ = {static_cast<std::byte*>(memory), bytes};
}

void Segment::refresh(std::size_t offset, std::size_t bytes) {
  if (kind_ == Memory::shared) return;
  for (std::span<std::byte> rest = memory_.subspan(offset, bytes); !rest.empty();) {
    const auto at = static_cast<off_t>(rest.data() - memory_.data());
    const ssize_t got = ::pread(fd_.get(), rest.data(), rest.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("pread of the shared memory");
    if (got == 0) throw SystemError("shared memory that has shrunk", EPROTO);
    rest = rest.subspan(static_cast<std::size_t>(got));
  }
}

Segment::Segment(Segment&& other) noexcept
    : fd_(std::move(other.fd_)), kind_(other.kind_), memory_(std::exchange(other.memory_, {})) {}

Segment::~Segment() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

bool Segment::sweep(const std::string& name) {
  const Fd fd = open_file(name, O_RDWR);
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  // If the name was removed before the lock was ours, it may be another segment's by now.
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || status.st_nlink == 0) return false;
  return ::shm_unlink(name.c_str()) == 0;
}

bool Segment::is_locked(const std::string& name) {
  const Fd fd = open_file(name, O_RDONLY);
  return !fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

void Segment::remove(const std::string& name) {
  if (::shm_unlink(name.c_str()) != 0 && errno != ENOENT) fail("shm_unlink " + name);
}

}  // namespace kilofork
