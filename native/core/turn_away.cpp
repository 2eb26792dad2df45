#include "turn_away.hpp"

#include <fcntl.h>
#include <linux/filter.h>
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

void TurnAway::begin() {
  accepting_ = true;
  // Children share this flag; those that have not yet seen their order ask again (child.cpp).
  ::fcntl(listener_, F_SETFL, ::fcntl(listener_, F_GETFL) | O_NONBLOCK);
}

void TurnAway::refuse_newcomers() const {
  sock_filter drop{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = 0};
  const sock_fprog program{.len = 1, .filter = &drop};
  ::setsockopt(listener_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void TurnAway::add_to(std::vector<pollfd>& polled) const {
  if (!accepting_) return;
  if (!out_of_descriptors_) polled.push_back({.fd = listener_, .events = POLLIN, .revents = 0});
  for (const Guest& guest : lingering_)
    polled.push_back({.fd = guest.fd.get(), .events = POLLIN, .revents = 0});
}

void TurnAway::run() {
  if (!accepting_) return;
  const Nanoseconds now = monotonic_now();
  for (;;) {
    Fd guest(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    out_of_descriptors_ = !guest && (errno == EMFILE || errno == ENFILE);
    if (!guest) break;
    (void)::send(guest.get(), line_.data(), line_.size(), MSG_NOSIGNAL);
    ::shutdown(guest.get(), SHUT_WR);
    lingering_.push_back({.fd = std::move(guest), .deadline = now + linger_});
  }
  std::erase_if(lingering_, [now](const Guest& guest) {
    return guest.deadline <= now || has_left(guest.fd.get());
  });
}

}  // namespace kilofork
