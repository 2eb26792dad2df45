#include "supervisor/backlog_drain.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace kilofork {

namespace {

// True when there is nothing more to wait for.
bool has_left(int fd) {
  std::array<char, 4096> discarded{};
  for (;;) {
    const ssize_t got = ::recv(fd, discarded.data(), discarded.size(), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return true;
    if (got < 0) return false;
  }
}

}  // namespace

void BacklogDrain::begin() {
  accepting_ = true;
  // Children share this flag; those that have not yet seen their order ask again (child.cpp).
  ::fcntl(listener_, F_SETFL, ::fcntl(listener_, F_GETFL) | O_NONBLOCK);
}

void BacklogDrain::stop_accepting() const {
  // Nearly every host begins with 64 or 128 hops to live, and each router takes one: this asks for
  // more. A filter of packets would take all, but needs a privilege on newer kernels.
  constexpr int kHopsToLive = 255;
  ::setsockopt(listener_, IPPROTO_IP, IP_MINTTL, &kHopsToLive, sizeof kHopsToLive);
  ::setsockopt(listener_, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &kHopsToLive, sizeof kHopsToLive);
}

void BacklogDrain::add_to(std::vector<pollfd>& polled) const {
  if (!accepting_) return;
  if (!out_of_means_) polled.push_back({.fd = listener_, .events = POLLIN, .revents = 0});
  for (const RefusedClient& guest : lingering_)
    polled.push_back({.fd = guest.fd.get(), .events = POLLIN, .revents = 0});
}

void BacklogDrain::run() {
  if (!accepting_) return;
  const Nanoseconds now = monotonic_now();
  for (;;) {
    Fd guest(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    out_of_means_ =
        !guest && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
    if (!guest) break;
    (void)::send(guest.get(), line_.data(), line_.size(), MSG_NOSIGNAL);
    ::shutdown(guest.get(), SHUT_WR);
    lingering_.push_back({.fd = std::move(guest), .deadline = now + linger_});
  }
  std::erase_if(lingering_, [now](const RefusedClient& guest) {
    return guest.deadline <= now || has_left(guest.fd.get());
  });
}

}  // namespace kilofork
