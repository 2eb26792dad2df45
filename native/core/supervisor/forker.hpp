// The forker: a process that forks children on the supervisor's order. The supervisor forks it, and
// it locks itself down before the first child; children inherit that. They become children of the
// supervisor (CLONE_PARENT, clone(2)). It ends when its orders end, with the supervisor. This is
// the supervisor's side and, in run(), the process itself.
//
// If it is killed or stopped in the middle of an order, nobody knows whether there is a child. The
// slot decides: either the child claims it, or the supervisor gives it up.
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
  // Forks a child for each of these reserved slots and puts its pid into `pids`. From the first
  // fork that failed on, pids are 0 and errno says why; the caller has these slots back.
  void fork_children(std::span<const std::size_t> slots, std::span<pid_t> pids);
  // Replaces the log that it holds for its children by the newest one.
  void follow_log();
  // A process has ended; it may be the forker.
  void on_exit(pid_t pid);
  [[nodiscard]] pid_t pid() const { return pid_; }
  // False if it has died, or did not answer in time. The next order starts another one.
  [[nodiscard]] bool is_running() const { return pid_ > 0; }
  // Kills it: it has no state. If it forks once more, that child finds its slot given up.
  void end();

 private:
  // A switch to the other process and back costs as much as a fork: give orders in batches.
  static constexpr std::size_t kAtATime = 32;
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
  bool ask(const Order& order, Answer& answer);
  void forget();

  const ChildContext& context_;
  const std::vector<int> kept_;
  pid_t pid_ = 0;
  Fd orders_;
};

}  // namespace kilofork
