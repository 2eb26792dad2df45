#include "child/keeper_intake.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "process/fd_passing.hpp"

namespace kilofork {

namespace {
constexpr Report kNothing{
    .ticket = 0, .entry = Report::kNone, .fate = Fate::kept, .new_line = 0, .done = 0};
}  // namespace

std::size_t KeeperIntake::memory_bytes(const Service& service) {
  return most_held_in_batch(Connection::input_bytes(service)) + sizeof(Report) +
         Connection::input_bytes(service);
}

KeeperIntake::KeeperIntake(const ChildContext& context, const ChildSignals& signals, Slot& slot,
                           std::span<char> input, std::span<char> memory)
    : keeper_(context.listener),
      signals_(signals),
      word_(slot.batch),
      input_(input),
      held_(memory.first(most_held_in_batch(input.size()))),
      report_(memory.subspan(held_.size())),
      pending_(kNothing) {}

bool KeeperIntake::will_wait() const {
  const BatchWord::Value word = word_.get();
  return word.ticket != batch_.ticket || word.next >= word.end;
}

Intake::Took KeeperIntake::take() {
  for (;;) {
    if (begun_ < batch_.count) {
      if (pending_.entry != Report::kNone) report(false);
      if (const auto entry = word_.take(batch_.ticket)) {
        entry_ = *entry;
        begun_ = entry_ + 1;
        fd_ = fds_.at(entry_);
        std::copy_n(held_.begin() + static_cast<std::ptrdiff_t>(held_at_), held(), input_.begin());
        held_at_ += held();
        return Took::connection;
      }
      close_rest();
    }
    if (!is_done_) report(true);
    if (const Took took = receive(); took != Took::connection) return took;
  }
}

// Waits for the next batch.
Intake::Took KeeperIntake::receive() {
  const std::array<iovec, 2> parts{{{.iov_base = &batch_, .iov_len = sizeof batch_},
                                    {.iov_base = held_.data(), .iov_len = held_.size()}}};
  const ssize_t got = receive_with_fds(keeper_, parts, fds_, fd_count_, 0);
  if (got < static_cast<ssize_t>(sizeof batch_)) {
    batch_.count = 0;
    begun_ = 0;
    const bool may_pass = signals_.is_told_to_leave() || (got < 0 && errno == EINTR);
    return may_pass ? Took::nothing : Took::broken;
  }
  batch_.count = static_cast<std::uint32_t>(std::min<std::size_t>(batch_.count, fd_count_));
  begun_ = 0;
  held_at_ = 0;
  is_done_ = false;
  return Took::connection;
}

// The connections of the batch that were not begun.
void KeeperIntake::close_rest() {
  while (begun_ < batch_.count) ::close(fds_.at(begun_++));
}

void KeeperIntake::give_back(const Connection& connection) {
  close_present();
  pending_ = {.ticket = batch_.ticket,
              .entry = static_cast<std::uint8_t>(entry_),
              .fate = connection.fate(),
              .new_line = connection.has_begun_line() ? std::uint8_t{1} : std::uint8_t{0},
              .done = 0};
  kept_input_ = connection.unanswered();
}

// Tells what has become of the last connection, unless that is what the keeper expects, and that
// the batch is done.
void KeeperIntake::report(bool done) {
  const bool is_expected = pending_.fate == Fate::kept && kept_input_.empty();
  if (!is_expected || done) {
    pending_.ticket = batch_.ticket;
    pending_.done = done ? 1 : 0;
    std::memcpy(report_.data(), &pending_, sizeof pending_);
    std::copy(kept_input_.begin(), kept_input_.end(), report_.begin() + sizeof pending_);
    (void)::send(keeper_, report_.data(), sizeof pending_ + kept_input_.size(), MSG_NOSIGNAL);
  }
  if (done) is_done_ = true;
  pending_ = kNothing;
  kept_input_ = {};
}

void KeeperIntake::leave() {
  if (!is_done_) report(true);
}

// The keeper finds that nothing can be sent to this child; what it has sent is still received.
void KeeperIntake::close() const {
  ::shutdown(keeper_, SHUT_RD);
}

void KeeperIntake::drop() {
  close_present();
  close_rest();
}

void KeeperIntake::close_present() {
  const int fd = fd_;
  fd_ = -1;
  if (fd >= 0) ::close(fd);
}

}  // namespace kilofork
