#include "child/connection.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "net/listener.hpp"

namespace kilofork {

std::size_t Connection::input_bytes(const Service& service) {
  constexpr std::size_t kPipelined = 2048;  // room for several short requests in one read()
  return std::max(service.max_line, kPipelined);
}

Connection::Got Connection::next_line() {
  std::optional<Nanoseconds> deadline;
  for (;;) {
    if (stopping_ != 0) return Got::stopped;
    const std::size_t held = end_ - start_;
    const char* const start = input_.data() + start_;
    if (const void* newline = held > 0 ? std::memchr(start, '\n', held) : nullptr) {
      line_ = {start, static_cast<std::size_t>(static_cast<const char*>(newline) - start)};
      start_ += line_.size() + 1;
      return line_.size() < service_.max_line ? Got::line : Got::too_long;
    }
    if (held >= service_.max_line) return Got::too_long;
    if (start_ > 0) {
      std::memmove(input_.data(), start, held);
      start_ = 0;
      end_ = held;
    }
    if (held == 0) {
      wait_for_bytes(service_.idle_timeout);
    } else if (service_.read_timeout > 0) {
      const Nanoseconds now = monotonic_now();
      if (!deadline) deadline = now + service_.read_timeout;
      if (now >= *deadline) return Got::timeout;
      wait_for_bytes(*deadline - now);
    } else {
      wait_for_bytes(0);
    }
    const ssize_t got = ::recv(fd_.get(), input_.data() + end_, input_.size() - end_, 0);
    if (got > 0) {
      end_ += static_cast<std::size_t>(got);
    } else if (got == 0) {
      if (stopping_ != 0) return Got::stopped;  // our own end of file completes no line
      if (held == 0) return Got::end;
      line_ = {input_.data(), held};
      start_ = end_;
      return Got::last_line;
    } else if (errno == EAGAIN) {
      return Got::timeout;
    } else if (errno != EINTR) {
      return Got::lost;
    }
  }
}

bool Connection::has_more() const {
  char byte = 0;
  return end_ > start_ || ::recv(fd_.get(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool Connection::send(std::string_view bytes) {
  std::optional<Nanoseconds> deadline;  // asked for only when the first send() did not do
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(bytes.size())) break;
    if (sent < 0 && errno != EINTR) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    if (service_.write_timeout > 0) {
      const Nanoseconds now = monotonic_now();
      if (!deadline) deadline = now + service_.write_timeout;
      if (now >= *deadline) return false;
      set_send_timeout(fd_.get(), *deadline - now);
    }
  }
  if (deadline) set_send_timeout(fd_.get(), service_.write_timeout);
  return true;
}

// A socket that is closed with unread bytes in it is reset, and the reset may destroy the last
// words before the client reads them. So: end our side, then read until the client ends its own,
// or has had long enough.
void Connection::end(Nanoseconds patience) {
  ::shutdown(fd_.get(), SHUT_WR);
  const Nanoseconds deadline = monotonic_now() + patience;
  for (Nanoseconds now = monotonic_now(); now < deadline; now = monotonic_now()) {
    if (stopping_ == 0) {
      wait_for_bytes(deadline - now);
      const ssize_t got = ::recv(fd_.get(), input_.data(), input_.size(), 0);
      if (got == 0 && stopping_ == 0) return;
      if (got < 0 && errno != EINTR) return;
    } else {
      // Our own reading side is closed and tells nothing; what the client has not acknowledged
      // is still in the send queue.
      int unsent = 0;
      if (::ioctl(fd_.get(), SIOCOUTQ, &unsent) != 0 || unsent == 0) return;
      ::usleep(500);
    }
  }
}

// Sets the time-out of the next recv(), by a system call only where it changes.
void Connection::wait_for_bytes(Nanoseconds timeout) {
  if (timeout == receive_timeout_) return;
  set_receive_timeout(fd_.get(), timeout);
  receive_timeout_ = timeout;
}

}  // namespace kilofork
