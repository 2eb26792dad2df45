#include "load/epoll_set.hpp"

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"

namespace kilofork {

EpollSet::EpollSet() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) fail("epoll_create1");
}

int EpollSet::add(int fd, std::uint32_t client) {
  epoll_event event{.events = EPOLLIN, .data = {.u32 = client}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void EpollSet::watch(int fd, std::uint32_t client, bool room) {
  epoll_event event{.events = room ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.u32 = client}};
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

std::span<const epoll_event> EpollSet::wait(Nanoseconds timeout) {
  int count = -1;
  if (to_the_nanosecond_) {
    const timespec time = to_timespec(timeout);
    count = ::epoll_pwait2(epoll_.get(), events_.data(), kEvents, &time, nullptr);
    // Missing before Linux 5.11, or forbidden by a filter, with one of several errors.
    to_the_nanosecond_ = count >= 0 || errno == EINTR;
  }
  if (!to_the_nanosecond_) {
    const auto milliseconds = static_cast<int>(timeout / kMillisecond);
    count = ::epoll_wait(epoll_.get(), events_.data(), kEvents, milliseconds);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
  }
  return {events_.data(), static_cast<std::size_t>(std::max(count, 0))};
}

}  // namespace kilofork
