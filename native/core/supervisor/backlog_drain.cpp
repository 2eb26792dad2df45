#include "supervisor/backlog_drain.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

namespace kilofork {

namespace {

// True if the client has closed its side.
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
  // Children share this flag: one that has not yet got its order polls and tries again.
  ::fcntl(listener_, F_SETFL, ::fcntl(listener_, F_GETFL) | O_NONBLOCK);
}

void BacklogDrain::stop_accepting() const {
  // Demand more hops to live than packets have: hosts send them with 64 or 128. A packet filter on
  // the listener would do as well, but needs CAP_NET_ADMIN on newer kernels.
  constexpr int kHopsToLive = 255;
  ::setsockopt(listener_, IPPROTO_IP, IP_MINTTL, &kHopsToLive, sizeof kHopsToLive);
  ::setsockopt(listener_, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &kHopsToLive, sizeof kHopsToLive);
}

void BacklogDrain::add_to(std::vector<pollfd>& polled) const {
  if (!accepting_) return;
  if (!is_exhausted_) polled.push_back({.fd = listener_, .events = POLLIN, .revents = 0});
  for (const RefusedClient& client : lingering_)
    polled.push_back({.fd = client.fd.get(), .events = POLLIN, .revents = 0});
}

void BacklogDrain::run() {
  if (!accepting_) return;
  const Nanoseconds now = monotonic_now();
  for (;;) {
    Fd client(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    is_exhausted_ =
        !client && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
    if (!client) break;
    (void)::send(client.get(), line_.data(), line_.size(), MSG_NOSIGNAL);
    ::shutdown(client.get(), SHUT_WR);
    lingering_.push_back({.fd = std::move(client), .deadline = now + linger_});
  }
  std::erase_if(lingering_, [now](const RefusedClient& client) {
    return client.deadline <= now || has_left(client.fd.get());
  });
}

}  // namespace kilofork
