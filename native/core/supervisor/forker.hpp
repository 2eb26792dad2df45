// The fork server: a process that does nothing but fork, on the supervisor's order. It is forked by
// the supervisor and locks itself down for all its children before the first of them; they become
// children of the supervisor all the same (CLONE_PARENT, clone(2)). It ends with the supervisor:
// its orders end. This is the supervisor's side and, in start(), the process itself.
//
// An order is answered at once. Where the server is killed or stopped in the middle of one, nobody
// knows whether there is a child; the slot decides: a child claims it, or the supervisor takes it
// back.
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

namespace kilofork {

class Forker {
 public:
  // `context` is kept by the caller; a forker that runs does not see its changes. `kept`: the
  // descriptors of children.
  Forker(const ChildContext& context, std::vector<int> kept)
      : context_(context), kept_(std::move(kept)) {}
  ~Forker() { end(); }
  Forker(const Forker&) = delete;
  Forker& operator=(const Forker&) = delete;

  // Throws SystemError.
  void start();
  // As fork(2), for each of these slots, which are reserved: puts into pids[i] a child of the
  // caller's that takes slots[i]. From the first that could not be forked on, 0, and errno says
  // why; those slots are left to the caller.
  void fork_children(std::span<const std::size_t> slots, std::span<pid_t> pids);
  // Lets go of the log that it holds for its children, for the newest one.
  void follow_log();
  // What became of a process that may have been it.
  void on_exit(pid_t pid);
  [[nodiscard]] pid_t pid() const { return pid_; }
  // False: it has died, or did not answer in time, and the next order starts another.
  [[nodiscard]] bool is_running() const { return pid_ > 0; }
  // It has no state that would be lost. If it forks once more, that child finds its slot taken
  // back.
  void end();

 private:
  // A turn to the other process and back costs as much as a fork: so, many at a time.
  static constexpr std::size_t kAtATime = 32;
  struct Order {
    std::size_t count;  // of children; 0: let go of an older log
    std::array<std::size_t, kAtATime> slots;
    std::array<std::uint64_t, kAtATime> reserved;  // the words of these slots
  };
  struct Answer {
    std::array<pid_t, kAtATime> pids;
    int error;
  };

  [[noreturn]] void run(int orders) const;
  void fork_some(std::span<const std::size_t> slots, std::span<pid_t> pids);
  bool ask(const Order& order, Answer& answer);
  void forget();

  const ChildContext& context_;
  const std::vector<int> kept_;
  pid_t pid_ = 0;
  Fd orders_;
};

}  // namespace kilofork
