// The sockets that a load engine waits for, each with the index of its client. A socket leaves the
// set when it is closed. epoll(7).
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace kilofork {

class EpollSet {
 public:
  EpollSet();  // throws SystemError

  // Watches for bytes to read. Returns 0, or an errno value.
  int add(int fd, std::uint32_t client);
  // Watches for bytes to read and, with `room`, for room to send.
  void watch(int fd, std::uint32_t client, bool room);

  // Returns the events as soon as there are some, none after the timeout or a signal. They are
  // valid until the next call. Throws SystemError.
  std::span<const epoll_event> wait(Nanoseconds timeout);

 private:
  static constexpr int kEvents = 256;  // at most, of one wait

  Fd epoll_;
  std::array<epoll_event, kEvents> events_{};
  bool to_the_nanosecond_ = true;  // epoll_pwait2(2) works
};

}  // namespace kilofork
