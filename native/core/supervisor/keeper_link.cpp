#include "supervisor/keeper_link.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "child/connection.hpp"
#include "process/descriptors.hpp"
#include "process/fd_passing.hpp"

namespace kilofork {

namespace {

// From the start of one keeper to the start of the next, if that ended at once.
constexpr Nanoseconds kKeepersApart = 50 * kMillisecond;
constexpr Nanoseconds kHandedOverWithin = 2 * kSecond;
constexpr Nanoseconds kAnnouncedAgainAfter = 10 * kMillisecond;

KeeperService service_of(const Service& service) {
  return {.greeting = service.greeting,
          .refusals = service.refusals,
          .idle_timeout = service.idle_timeout,
          .read_timeout = service.read_timeout,
          .linger_timeout = service.linger_timeout,
          .max_per_address = service.max_per_address,
          .longest_held = Connection::input_bytes(service),
          .most_in_batch = service.most_at_a_time()};
}

std::array<Fd, 2> make_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    fail("socketpair for the keeper");
  return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

KeeperLink::KeeperLink(Parts parts, const std::optional<ExecState>& predecessor)
    : parts_(std::move(parts)),
      service_(service_of(parts_.service)),
      published_(parts_.scoreboard.header().keeper) {
  if (!is_used()) return;
  ends_.resize(parts_.scoreboard.slots().size());
  unannounced_.reserve(ends_.size());
  if (predecessor) {
    pid_ = predecessor->keeper;
    control_.reset(predecessor->keeper_control);
    for (const auto& child : predecessor->children) ends_[child.slot].reset(child.keeper_end);
  } else {
    published_.pid = 0;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  ::fcntl(parts_.listener, F_SETFL, ::fcntl(parts_.listener, F_GETFL) | O_NONBLOCK);
}

std::size_t KeeperLink::ready() const {
  return published_.ready.load(std::memory_order_relaxed);
}

Fd KeeperLink::connect(std::size_t slot) {
  auto [keepers, childs] = make_pair();
  ends_[slot] = std::move(keepers);
  unannounced_.push_back(static_cast<std::uint32_t>(slot));
  return std::move(childs);
}

// By shutdown(2): a child that was forked at the same time and is stopped may still have a copy of
// the other end, and the keeper must notice all the same.
void KeeperLink::disconnect(std::size_t slot) {
  if (!is_used() || !ends_[slot]) return;
  ::shutdown(ends_[slot].get(), SHUT_RDWR);
  ends_[slot].reset();
  std::erase(unannounced_, static_cast<std::uint32_t>(slot));
}

void KeeperLink::maintain(bool stopping, Nanoseconds now) {
  if (!is_used()) return;
  if (now >= replaced_by_) ::kill(replaced_, SIGKILL);
  if (pid_ == 0 && !stopping && now >= may_start_at_) {
    may_start_at_ = now + kKeepersApart;
    start(-1);
  }
  announce();
}

Nanoseconds KeeperLink::next_deadline() const {
  if (!is_used()) return kNever;
  return std::min(pid_ == 0 ? may_start_at_ : announced_again_at_, replaced_by_);
}

// The old keeper must know of all children before: of one that has died, and has a successor in its
// slot, it would hand over a batch that the successor does not have.
void KeeperLink::renew() {
  if (pid_ == 0 || replaced_ != 0) return;
  announce();
  auto [from_old, to_new] = make_pair();
  const NewChildren order{};
  const iovec part{.iov_base = const_cast<NewChildren*>(&order), .iov_len = sizeof order};
  const int passed = to_new.get();
  if (!unannounced_.empty() ||
      send_with_fds(control_.get(), {&part, 1}, {&passed, 1}, MSG_DONTWAIT) < 0) {
    ::kill(pid_, SIGKILL);  // it is stopped or stuck
    return;
  }
  to_new.reset();
  replaced_ = pid_;
  replaced_by_ = monotonic_now() + kHandedOverWithin;
  start(from_old.get());
}

void KeeperLink::start(int predecessor) {
  auto [ours, theirs] = make_pair();
  control_ = std::move(ours);
  std::vector<int> children(ends_.size(), -1);
  std::vector<int> kept = parts_.kept;
  kept.insert(kept.end(), {parts_.listener, theirs.get()});
  if (predecessor >= 0) kept.push_back(predecessor);
  for (std::size_t slot = 0; slot < ends_.size(); slot++) {
    children[slot] = ends_[slot].get();
    if (ends_[slot]) kept.push_back(ends_[slot].get());
  }
  unannounced_.clear();
  const pid_t supervisor = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    keep_only(std::move(kept));
    run_keeper({.service = service_,
                .scoreboard = parts_.scoreboard,
                .supervisor = supervisor,
                .listener = parts_.listener,
                .control = theirs.get(),
                .wakeup = parts_.wakeup,
                .children = children,
                .predecessor = predecessor});
  }
  if (pid < 0) return;
  pid_ = pid;
  published_.pid = pid;
}

// What the socket has no room for, as when the keeper is stopped, is sent again later.
void KeeperLink::announce() {
  announced_again_at_ = kNever;
  while (pid_ > 0 && !unannounced_.empty()) {
    NewChildren message{};
    std::array<int, kMostPassed> fds{};
    const std::size_t count = std::min(unannounced_.size(), kMostPassed);
    for (std::size_t i = 0; i < count; i++) {
      message.slots.at(i) = unannounced_[i];
      fds.at(i) = ends_[unannounced_[i]].get();
    }
    message.count = static_cast<std::uint32_t>(count);
    const iovec part{.iov_base = &message, .iov_len = sizeof message};
    if (send_with_fds(control_.get(), {&part, 1}, std::span(fds).first(count), MSG_DONTWAIT) < 0) {
      announced_again_at_ = monotonic_now() + kAnnouncedAgainAfter;
      return;
    }
    unannounced_.erase(unannounced_.begin(),
                       unannounced_.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

void KeeperLink::on_exit(pid_t pid) {
  if (pid == replaced_) {
    replaced_ = 0;
    replaced_by_ = kNever;
  }
  if (pid != pid_) return;
  pid_ = 0;
  control_.reset();
  published_.pid = 0;
  published_.connections = 0;
  published_.ready = 0;
}

void KeeperLink::save_to(ExecState& state) const {
  state.keeper = pid_;
  state.keeper_control = control_.get();
  if (!is_used()) return;
  for (auto& child : state.children) child.keeper_end = ends_[child.slot].get();
}

void KeeperLink::signal(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

}  // namespace kilofork
