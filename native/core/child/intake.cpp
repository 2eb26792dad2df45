#include "child/intake.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "net/endpoint.hpp"

namespace kilofork {

namespace {

// True for an error of accept(2) that concerns one client or one call, and not the listener.
bool is_transient(int error) {
  return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM;
}

}  // namespace

Intake::Intake(const ChildContext& context, const ChildSignals& signals, const Slot& slot)
    : context_(context),
      signals_(signals),
      peer_(context.scoreboard
                .peers()[static_cast<std::size_t>(&slot - context.scoreboard.slots().data())]) {}

Intake::Took Intake::take() {
  const int fd = accept();
  if (fd >= 0) {
    fd_ = fd;
    return Took::connection;
  }
  if (errno == EAGAIN) {
    // The supervisor is stopping: it has made the listener non-blocking and drains the backlog.
    pollfd listener{.fd = context_.listener, .events = POLLIN, .revents = 0};
    ::poll(&listener, 1, 100);
    return Took::nothing;
  }
  return signals_.is_told_to_leave() || is_transient(errno) ? Took::nothing : Took::broken;
}

// As accept4(2). Asks for the client's address only if connections per address are limited.
int Intake::accept() {
  if (context_.service.max_per_address == 0)
    return ::accept4(context_.listener, nullptr, nullptr, SOCK_CLOEXEC);
  Endpoint peer;
  const int fd = Endpoint::accept(context_.listener, peer);
  if (fd >= 0) peer_.store(peer.address_hash(), std::memory_order_seq_cst);
  return fd;
}

// Each child stores the address before it counts. So two that accept from one address at the same
// time see each other, and the maximum is never exceeded; both may then refuse.
bool Intake::admits() {
  if (connections_of_peer() <= context_.service.max_per_address) return true;
  peer_.store(0, std::memory_order_relaxed);
  return false;
}

// Counts over the words of all children, so that a killed child no longer counts. 0 if connections
// per address are not limited.
std::uint64_t Intake::connections_of_peer() const {
  const std::uint64_t own = peer_.load(std::memory_order_relaxed);
  if (context_.service.max_per_address == 0 || own == 0) return 0;
  std::uint64_t count = 0;
  for (const auto& peer : context_.scoreboard.peers())
    if (peer.load(std::memory_order_seq_cst) == own) count++;
  return count;
}

void Intake::give_back() {
  const int fd = fd_;
  fd_ = -1;
  peer_.store(0, std::memory_order_relaxed);
  ::close(fd);
}

// Puts another descriptor in the place of the listener, so that accept() fails, even in a call that
// is about to begin. With a flag alone, a signal between the test of the flag and accept() would be
// lost until the next client comes.
void Intake::close() const {
  ::dup2(context_.lifeline, context_.listener);
}

// Closes the same race for recv(): a call that is about to begin finds the end of file.
void Intake::end_input() const {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RD);
}

}  // namespace kilofork
