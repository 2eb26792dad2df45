#include "child/accept_intake.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "net/endpoint.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

namespace {

// Before the next try after an error that may last.
constexpr int kPause = 100;  // ms

// The descriptor is no listening socket. All other errors of accept(2) pass: those of the client,
// of the network, which accept(2) reports in its place, and of the machine.
bool is_lasting(int error) {
  return error == EBADF || error == EINVAL || error == ENOTSOCK;
}

}  // namespace

AcceptIntake::AcceptIntake(const ChildContext& context, const ChildSignals& signals,
                           const Slot& slot)
    : context_(context),
      signals_(signals),
      peer_(context.scoreboard
                .peers()[static_cast<std::size_t>(&slot - context.scoreboard.slots().data())]) {}

Intake::Took AcceptIntake::take() {
  const int fd = accept();
  if (fd >= 0) {
    fd_ = fd;
    report(0);
    return Took::connection;
  }
  const int error = errno;
  if (signals_.is_told_to_leave() || error == EINTR || error == ECONNABORTED) return Took::nothing;
  if (is_lasting(error)) return Took::broken;
  if (error == EAGAIN) {
    // The supervisor is stopping: it has made the listener non-blocking and drains the backlog.
    pollfd listener{.fd = context_.listener, .events = POLLIN, .revents = 0};
    ::poll(&listener, 1, kPause);
  } else {
    report(error);
    ::poll(nullptr, 0, kPause);
  }
  return Took::nothing;
}

// Tells the supervisor the first error, and that there is none any more.
void AcceptIntake::report(int error) {
  auto& last = context_.scoreboard.header().accept_error;
  const auto value = static_cast<std::uint32_t>(error);
  if ((last.load(std::memory_order_relaxed) == 0) == (value == 0)) return;
  last.store(value, std::memory_order_relaxed);
  wake_up(context_.wakeup);
}

// As accept4(2). Asks for the client's address only if connections per address are limited.
int AcceptIntake::accept() {
  if (context_.service.max_per_address == 0)
    return ::accept4(context_.listener, nullptr, nullptr, SOCK_CLOEXEC);
  Endpoint peer;
  const int fd = Endpoint::accept(context_.listener, peer);
  if (fd >= 0) peer_.set(peer.address_words());
  return fd;
}

// Each child stores the address before it counts. So two that accept from one address at the same
// time see each other, and the maximum is never exceeded; both may then refuse.
bool AcceptIntake::admits() {
  if (connections_of_peer() <= context_.service.max_per_address) return true;
  peer_.clear();
  return false;
}

// Counts over the words of all children, so that a killed child no longer counts. 0 if connections
// per address are not limited.
std::uint64_t AcceptIntake::connections_of_peer() const {
  if (context_.service.max_per_address == 0) return 0;
  const auto own = peer_.get();
  std::uint64_t count = 0;
  for (const PeerAddress& peer : context_.scoreboard.peers())
    if (peer.get() == own) count++;
  return count;
}

void AcceptIntake::give_back(const Connection& /*connection*/) {
  drop();
}

void AcceptIntake::drop() {
  const int fd = fd_;
  fd_ = -1;
  if (context_.service.max_per_address > 0) peer_.clear();
  ::close(fd);
}

// Puts another descriptor in the place of the listener, so that accept() fails, even in a call that
// is about to begin. With a flag alone, a signal between the test of the flag and accept() would be
// lost until the next client comes.
void AcceptIntake::close() const {
  ::dup2(context_.lifeline, context_.listener);
}

// Closes the same race for recv(): a call that is about to begin finds the end of file.
void AcceptIntake::end_input() const {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RD);
}

}  // namespace kilofork
