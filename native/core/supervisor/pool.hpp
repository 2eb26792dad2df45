// The pool of children, and the loop of the supervisor that keeps it: wait, take_orders, reap,
// escalate, look, top up. Runs in the supervisor alone, a process with one thread. Modelled on the
// arbiters of unicorn and gunicorn: signal handlers only set flags, there is one place to wait.
//
// While nothing changes the pool parked: it is not looked at, and the loop waits without end. The
// next child that turns from idle to busy or back rings (child.cpp), and the looks begin again.
// fork(2), waitpid(2), prctl(2), eventfd(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "child/child.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/backlog_drain.hpp"
#include "supervisor/control.hpp"
#include "supervisor/exec_state.hpp"
#include "supervisor/forker.hpp"
#include "supervisor/log_manager.hpp"
#include "supervisor/roster.hpp"
#include "supervisor/sizing.hpp"
#include "supervisor/spawn_record.hpp"

namespace kilofork {

// What the front hands down, at the numbers that the supervisor's main() names.
struct PoolDescriptors {
  int listener;
  int log;
  int segment;
  int lifeline;
  int spawn_log;
};

class Pool {
 public:
  // `predecessor`: what the last executable of this process knew, if there was one.
  Pool(PoolSettings settings, std::vector<std::string> setting_lines, Control control,
       const PoolDescriptors& descriptors, Scoreboard scoreboard, std::string segment_name,
       std::optional<ExecState> predecessor);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // Returns when all children are gone: the number of requests that were cut short.
  std::uint64_t run();

 private:
  enum class Phase : std::uint8_t {
    running,
    stopping,  // children finish what they have in work, for the time of grace
    quitting,  // they were told to leave at once, by a caught signal
    killing,   // they did not
  };

  // The loop.
  void finish_drain();
  void wait();
  void take_orders();
  void reap();
  void escalate();
  void sample();
  void top_up();
  void replace_some();
  void begin_replacing();

  // Orders.
  void carry_out(Control::Line line);
  [[noreturn]] void execute(const std::string& path);
  void advance(Phase phase);

  // Children.
  // What cannot be forked now is tried again later.
  void fork_children(std::span<const std::size_t> slots,
                     const std::function<Cause(std::size_t)>& cause_of);
  void fork_needed(Cause cause, std::size_t count);
  void handle_exit(std::size_t index, int status);
  void retire(std::size_t index, Cause cause);
  void back_off(GrowthLimit limit);
  void announce_when_up();
  void signal_members(int signal);

  // Looks.
  [[nodiscard]] Census take_census() const;
  void park(Nanoseconds now);
  void set_growth_limit(GrowthLimit limit);
  void note_fullness(const Census& census);

  void close_books();
  [[nodiscard]] Nanoseconds next_deadline() const;

  const PoolSettings settings_;
  const std::vector<std::string> setting_lines_;
  Scoreboard scoreboard_;
  const std::string segment_name_;
  Control control_;
  const PoolDescriptors descriptors_;
  Fd wakeup_;
  BacklogDrain backlog_drain_;

  // Private to the supervisor: not even mapped in its children, since a page that is written to
  // between two forks would be copied for each of them.
  std::span<std::byte> private_memory_;
  Roster roster_;
  SpawnRecord record_;
  LogManager log_;
  ChildContext context_;
  Forker forker_;
  Sizing sizing_;

  std::uint64_t aborted_ = 0;
  Phase phase_ = Phase::running;
  Nanoseconds phase_ends_ = 0;
  Nanoseconds started_ = 0;
  bool announced_ = false;

  Nanoseconds back_off_ = 0;
  Nanoseconds may_fork_at_ = 0;
  bool forker_lost_ = false;  // at the last try

  Census census_{};
  Need need_{};
  int unchanged_ = 0;  // samples
  bool parked_ = true;
  Nanoseconds next_sample_ = 0;

  bool replace_ordered_ = false;
  bool replacing_ = false;
  Nanoseconds next_replacing_ = 0;
  std::string new_executable_;
};

}  // namespace kilofork
