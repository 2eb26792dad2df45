#include "child/segment_guard.hpp"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "child/child.hpp"

namespace kilofork {

namespace {

bool ends_within(pollfd process, int milliseconds) {
  return ::poll(&process, 1, milliseconds) > 0;
}

// Closes all that would keep clients, the port or the log, and the lifeline, whose end the front
// waits for. Then waits until the front has ended (true), or has no need of a guard any more: the
// children of the next supervisor are up, or the front has removed the segment itself.
bool front_ends_while_guarded(const ChildContext& context,
                              const std::atomic<std::uint32_t>& guarded) {
  constexpr int kPollEvery = 100;
  for (const int fd :
       {context.listener, context.log, context.log_broadcast, context.wakeup, context.lifeline})
    ::close(fd);
  while (guarded.load() != 0)
    if (ends_within({.fd = context.front, .events = POLLIN, .revents = 0}, kPollEvery)) return true;
  return false;
}

}  // namespace

void guard_segment(const ChildContext& context) {
  constexpr int kDyingWithSupervisor = 20;
  const bool can_guard = context.front >= 0;
  bool front_ended = ends_within({.fd = context.lifeline, .events = 0, .revents = 0},
                                 can_guard ? 0 : kDyingWithSupervisor);
  auto& guarded = context.scoreboard.header().guarded;
  if (!front_ended && can_guard && guarded.exchange(1) == 0)
    front_ended = front_ends_while_guarded(context, guarded);
  if (front_ended) ::unlink(context.segment_path);
}

}  // namespace kilofork
