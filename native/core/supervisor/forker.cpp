#include "supervisor/forker.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "child/segment_guard.hpp"
#include "log/log_broadcast.hpp"
#include "net/listener.hpp"
#include "process/descriptors.hpp"
#include "process/fd_passing.hpp"
#include "process/footprint.hpp"
#include "process/lockdown.hpp"
#include "process/signals.hpp"

namespace kilofork {

namespace {

// A forker that takes longer to answer is stopped or stuck.
constexpr Nanoseconds kAnsweredWithin = 2 * kSecond;

// When memory runs out, the kernel is to kill a child and not the front. 1000 counts as much as all
// memory of the cgroup whose limit is reached, so that a child comes before a front that holds most
// of a small one.
void offer_to_oom_killer() {
  const Fd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  (void)!::write(file.get(), "1000", 4);
}

}  // namespace

void Forker::start() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    fail("socketpair for the forker");
  orders_.reset(ends[0]);
  const Fd theirs(ends[1]);
  set_receive_timeout(orders_.get(), kAnsweredWithin);
  std::vector<int> kept = kept_;
  kept.push_back(theirs.get());
  pid_ = ::fork();
  if (pid_ == 0) {
    keep_only(std::move(kept));
    leave_restartable_sequences();
    go_on_beside_mappings([this, fd = theirs.get()] { run(fd); });
  }
  if (pid_ < 0) {
    pid_ = 0;
    fail("fork the forker");
  }
  context_.scoreboard.header().forker = pid_;
  Answer ready{};
  const int error = ask({}, {}, ready) ? ready.error : errno;
  if (error == 0) return;
  end();
  if (ready.error != 0 && ready.error != ENOMEM && ready.error != EAGAIN)
    throw LockdownRefused{ready.error};
  throw SystemError("start the forker", error);
}

// ---- the process --------------------------------------------------------------------------------

void Forker::run(int orders) const {
  continue_when_parent_dies();  // to find the end of file of its orders
  ::prctl(PR_SET_NAME, "kilofork-forker");
  offer_to_oom_killer();
  ChildSignals signals;
  set_up_signals_of_children(signals);  // all signals are blocked here
  const auto key = lock_down_children({.removable = context_.segment_path,
                                       .name = context_.name,
                                       .waits_for_syncs = context_.service.synced,
                                       .from_keeper = context_.service.per_request,
                                       .listener = context_.listener,
                                       .lifeline = context_.lifeline,
                                       .log = context_.log,
                                       .shared = kept_});
  if (!key) {
    const Answer refused{.pids = {}, .error = errno};
    ::send(orders, &refused, sizeof refused, MSG_NOSIGNAL);
    ::_exit(1);
  }
  ChildContext context = context_;
  Order order{};
  const iovec part{.iov_base = &order, .iov_len = sizeof order};
  std::array<int, kAtATime> sockets{};  // of the children, to the keeper
  std::size_t socket_count = 0;
  const auto receive = [&] {
    // Without a keeper the filter does not allow recvmsg(2) here.
    return context.service.per_request
               ? receive_with_fds(orders, {&part, 1}, sockets, socket_count, 0)
               : ::recv(orders, &order, sizeof order, 0);
  };
  while (receive() == sizeof order) {
    Answer answer{};
    if (order.count == 0) receive_log(context.log_broadcast, context.log, context.log_epoch);
    for (std::size_t i = 0; i < order.count && answer.error == 0; i++) {
      const pid_t pid = fork_by_key(*key);
      if (pid == 0) {
        ::close(orders);
        // Those before it are closed already.
        for (std::size_t other = i + 1; other < socket_count; other++) ::close(sockets[other]);
        if (i < socket_count) context.listener = sockets[i];
        run_child(context, context.scoreboard.slots()[order.slots[i]], order.reserved[i]);
      }
      if (i < socket_count) ::close(std::exchange(sockets[i], -1));
      if (pid < 0)
        answer.error = errno;
      else
        answer.pids[i] = pid;
    }
    for (const int unused : std::span(sockets).first(socket_count))
      if (unused >= 0) ::close(unused);
    if (::send(orders, &answer, sizeof answer, MSG_NOSIGNAL) < 0) break;
  }
  ::close(orders);
  guard_segment(context);
  ::_exit(0);
}

// ---- the supervisor's side ----------------------------------------------------------------------

bool Forker::ask(const Order& order, std::span<const int> sockets, Answer& answer) {
  const iovec part{.iov_base = const_cast<Order*>(&order), .iov_len = sizeof order};
  if (send_with_fds(orders_.get(), {&part, 1}, sockets, MSG_DONTWAIT) < 0) return false;
  ssize_t got = 0;
  while ((got = ::recv(orders_.get(), &answer, sizeof answer, 0)) < 0 && errno == EINTR) continue;
  if (got == 0) errno = ECHILD;  // it has died
  return got == sizeof answer;
}

void Forker::fork_children(std::span<const std::size_t> slots, std::span<pid_t> pids) {
  for (std::size_t at = 0; at < slots.size(); at += kAtATime) {
    const std::size_t count = std::min(kAtATime, slots.size() - at);
    fork_some(slots.subspan(at, count), pids.subspan(at, count));
    const auto batch = pids.subspan(at, count);
    if (std::find(batch.begin(), batch.end(), 0) != batch.end()) return;
  }
}

void Forker::fork_some(std::span<const std::size_t> slots, std::span<pid_t> pids) {
  const auto slot = [&](std::size_t i) -> Slot& { return context_.scoreboard.slots()[slots[i]]; };
  Order order{.count = slots.size(), .slots = {}, .reserved = {}};
  for (std::size_t i = 0; i < slots.size(); i++) {
    order.slots[i] = slots[i];
    order.reserved[i] = slot(i).word.load();
  }
  std::vector<Fd> sockets;
  std::vector<int> passed;
  int error = 0;
  try {
    if (pid_ == 0) start();
    for (std::size_t i = 0; i < slots.size() && keeper_.is_used(); i++) {
      sockets.push_back(keeper_.connect(slots[i]));
      passed.push_back(sockets.back().get());
    }
    Answer answer{};
    if (ask(order, passed, answer)) {
      std::copy_n(answer.pids.begin(), slots.size(), pids.begin());
      error = answer.error;
    } else {
      error = errno;
      end();
      for (std::size_t i = 0; i < slots.size(); i++)
        if (!slot(i).give_up(order.reserved[i], context_.scoreboard.age()))
          pids[i] = slot(i).occupancy().pid;
    }
  } catch (const SystemError& failed) {
    error = failed.code;
  }
  for (std::size_t i = 0; i < slots.size(); i++)
    if (pids[i] == 0) keeper_.disconnect(slots[i]);
  errno = error;
}

void Forker::follow_log() {
  Answer answer{};
  if (pid_ > 0 && !ask({}, {}, answer)) end();
}

void Forker::on_exit(pid_t pid) {
  if (pid == pid_) forget();
}

void Forker::end() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  forget();
}

void Forker::forget() {
  pid_ = 0;
  orders_.reset();
  context_.scoreboard.header().forker = 0;
}

}  // namespace kilofork
