// The forker: a process that forks children on the supervisor's order. They become children of the
// supervisor (CLONE_PARENT). The supervisor forks the forker, which locks itself down before the
// first child; children inherit that. It ends with the supervisor, by the end of file of its
// orders. The supervisor runs all of this class but run(), which is the process itself. clone(2),
// unix(7).
//
// If the forker is killed or stopped in the middle of an order, nobody knows whether there is a
// child. The slot decides: either the child claims it, or the supervisor gives it up.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "child/child.hpp"
#include "process/fd_passing.hpp"
#include "supervisor/keeper_link.hpp"

namespace kilofork {

// The kernel refuses the filter of system calls: no child may serve here, now or later.
struct LockdownRefused {
  int error;
};

class Forker {
 public:
  // `context`: the caller keeps it; a forker that runs does not see its changes. `kept`: the
  // descriptors that children keep.
  Forker(const ChildContext& context, std::vector<int> kept, KeeperLink& keeper)
      : context_(context), kept_(std::move(kept)), keeper_(keeper) {}
  ~Forker() { end(); }
  Forker(const Forker&) = delete;
  Forker& operator=(const Forker&) = delete;

  // Forks the forker, and waits until it is ready. Throws SystemError, LockdownRefused.
  void start();
  // Has a child forked for each of these reserved slots, and puts the pids into `pids`. If a fork
  // fails, its pid and those behind it are 0, errno says why, and these slots are the caller's
  // again. Throws LockdownRefused.
  void fork_children(std::span<const std::size_t> slots, std::span<pid_t> pids);
  // Makes the forker adopt the newest log, for the children that it will fork.
  void follow_log();
  // A process has ended; it may be the forker.
  void on_exit(pid_t pid);
  [[nodiscard]] pid_t pid() const { return pid_; }
  // False once it has died, or did not answer in time. The next order starts another one.
  [[nodiscard]] bool is_running() const { return pid_ > 0; }
  // Kills it; it has no state to lose. A child that it still forks finds its slot given up.
  void end();

 private:
  // Of one order. A switch to the forker and back costs as much as a fork, so orders are batches.
  static constexpr std::size_t kAtATime = kMostPassed;
  struct Order {
    std::size_t count;  // of children; 0: take the newest log
    std::array<std::size_t, kAtATime> slots;
    std::array<std::uint64_t, kAtATime> reserved;  // the words of these slots
  };
  struct Answer {
    std::array<pid_t, kAtATime> pids;
    int error;
  };

  [[noreturn]] void run(int orders) const;
  void fork_some(std::span<const std::size_t> slots, std::span<pid_t> pids);
  bool ask(const Order& order, std::span<const int> sockets, Answer& answer);
  void forget();

  const ChildContext& context_;
  const std::vector<int> kept_;
  KeeperLink& keeper_;
  pid_t pid_ = 0;
  Fd orders_;
};

}  // namespace kilofork
