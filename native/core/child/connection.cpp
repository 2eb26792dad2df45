#include "child/connection.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "net/listener.hpp"

namespace kilofork {

std::size_t Connection::input_bytes(const Service& service) {
  constexpr std::size_t kPipelined = 2048;  // room for several short requests in one read()
  return std::max(service.max_line, kPipelined);
}

Connection::Got Connection::next_line() {
  Nanoseconds began = monotonic_now();  // the wait for the first byte, then the line
  bool line_has_begun = false;
  bool is_repeated = false;  // this recv(): the time that has passed counts
  for (;;) {
    if (stopping_ != 0) return Got::stopped;
    if (service_.per_request && lines_ == service_.most_at_a_time()) return end_turn();
    const std::size_t held = end_ - start_;
    const char* const start = input_.data() + start_;
    if (const void* newline = held > 0 ? std::memchr(start, '\n', held) : nullptr) {
      line_ = {start, static_cast<std::size_t>(static_cast<const char*>(newline) - start)};
      start_ += line_.size() + 1;
      lines_++;
      return line_.size() < service_.max_line ? Got::line : Got::too_long;
    }
    if (held >= service_.max_line) return Got::too_long;
    if (service_.per_request && has_read_) return end_turn();
    if (start_ > 0) {
      std::memmove(input_.data(), start, held);
      start_ = 0;
      end_ = held;
    }
    if (held > 0 && !line_has_begun) {
      line_has_begun = true;
      is_repeated = false;
      began = monotonic_now();
    }
    const Nanoseconds timeout = line_has_begun ? service_.read_timeout : service_.idle_timeout;
    const Nanoseconds passed = is_repeated ? monotonic_now() - began : 0;
    if (timeout > 0 && passed >= timeout) return Got::timeout;
    if (!service_.per_request) set_timeout(timeout > 0 ? timeout - passed : 0);
    is_repeated = true;
    const ssize_t got = ::recv(fd_, input_.data() + end_, input_.size() - end_,
                               service_.per_request ? MSG_DONTWAIT : 0);
    has_read_ = true;
    if (got > 0) {
      end_ += static_cast<std::size_t>(got);
      is_full_ = end_ == input_.size();
    } else if (got == 0) {
      // on_stop() caused this end of file: it completes no line.
      if (stopping_ != 0) return Got::stopped;
      if (held == 0) return Got::end;
      line_ = {input_.data(), held};
      start_ = end_;
      return Got::last_line;
    } else if (errno == EAGAIN) {
      return service_.per_request ? end_turn() : Got::timeout;
    } else if (errno != EINTR) {
      return Got::lost;
    }
  }
}

// The keeper is told once of what has come, so another turn must look whether there is more, unless
// this one has.
Connection::Got Connection::end_turn() {
  const std::size_t held = end_ - start_;
  const bool has_line =
      held >= service_.max_line || std::memchr(input_.data() + start_, '\n', held) != nullptr;
  fate_ = has_line || is_full_ || !has_read_ ? Fate::more : Fate::kept;
  return Got::turn_over;
}

bool Connection::has_unread_input() const {
  char byte = 0;
  return end_ > start_ || ::recv(fd_, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool Connection::send(std::string_view bytes) {
  const Nanoseconds began = monotonic_now();
  bool was_short = false;  // send() waited, or a signal interrupted it
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(bytes.size())) break;
    if (sent < 0 && errno != EINTR) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    if (service_.write_timeout == 0) continue;
    const Nanoseconds passed = monotonic_now() - began;
    if (passed >= service_.write_timeout) return false;
    set_send_timeout(fd_, service_.write_timeout - passed);
    was_short = true;
  }
  if (was_short) set_send_timeout(fd_, service_.write_timeout);
  return true;
}

// close(2) resets a connection that has unread bytes, and the reset may destroy the last text
// before the client reads it. So this ends the sending side, then reads until the client ends its
// own side.
void Connection::linger(Nanoseconds timeout) {
  ::shutdown(fd_, SHUT_WR);
  if (service_.per_request) {
    fate_ = Fate::leaving;
    return;
  }
  if (timeout == 0) (void)::recv(fd_, input_.data(), input_.size(), MSG_DONTWAIT);
  const Nanoseconds deadline = monotonic_now() + timeout;
  for (Nanoseconds now = monotonic_now(); now < deadline; now = monotonic_now()) {
    if (stopping_ == 0) {
      set_timeout(deadline - now);
      const ssize_t got = ::recv(fd_, input_.data(), input_.size(), 0);
      if (got == 0 && stopping_ == 0) return;
      if (got < 0 && errno != EINTR) return;
    } else {
      // The reading side is shut, so recv() cannot tell when the client ends. The send queue holds
      // what the client has not acknowledged.
      int unsent = 0;
      if (::ioctl(fd_, SIOCOUTQ, &unsent) != 0 || unsent == 0) return;
      ::usleep(500);
    }
  }
}

// Sets the timeout of the next recv(). Makes a system call only if the timeout changes.
void Connection::set_timeout(Nanoseconds timeout) {
  if (timeout == receive_timeout_) return;
  set_receive_timeout(fd_, timeout);
  receive_timeout_ = timeout;
}

}  // namespace kilofork
