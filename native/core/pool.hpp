// The pool of children, and the loop of the supervisor that keeps it: wait, obey, reap, hurry,
// top up. Runs in the supervisor alone, a process with one thread. Modelled on the arbiters of
// unicorn and gunicorn: signal handlers only set flags, there is one place to wait.
//
// Invariant: slot i of the scoreboard is occupied exactly while members_[i] is a pid; the
// supervisor alone makes it so. fork(2), waitpid(2), prctl(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "append_log.hpp"
#include "child.hpp"
#include "control.hpp"
#include "log_handoff.hpp"
#include "scoreboard.hpp"
#include "turn_away.hpp"

namespace kilofork {

// What the front hands down, at the numbers that the supervisor's main() names.
struct PoolDescriptors {
  int listener;
  int log;
  int lifeline;
};

class Pool {
 public:
  Pool(PoolSettings settings, Control control, const PoolDescriptors& descriptors,
       Scoreboard scoreboard, std::string segment_name);
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

  void wait();
  void obey();
  void reap();
  void hurry();
  void top_up();

  void obey_line(Control::Line line);
  void reopen_log(Fd log);
  void advance(Phase phase);
  bool fork_child(std::size_t index);
  void bury(std::size_t index, int status);
  void back_off();
  void announce_when_up();
  void record_end(pid_t pid, int status, const char* cause);
  void signal_members(int signal);
  void close_books();
  [[nodiscard]] Nanoseconds next_deadline() const;

  const PoolSettings settings_;
  Scoreboard scoreboard_;
  const std::string segment_name_;
  Control control_;
  const int log_fd_;
  Fd births_;
  LogHandoff handoff_;
  TurnAway turn_away_;
  ChildContext context_;

  // Private to the supervisor: not even mapped in its children, since a page that is written to
  // between two forks would be copied for each of them.
  std::span<std::byte> private_memory_;
  std::span<pid_t> members_;  // by slot; 0: none
  AppendLog log_;

  std::size_t alive_ = 0;
  std::uint64_t cut_ = 0;
  Phase phase_ = Phase::running;
  Nanoseconds phase_ends_ = 0;
  Nanoseconds started_ = 0;
  bool announced_ = false;
  Nanoseconds back_off_ = 0;
  Nanoseconds may_fork_at_ = 0;
};

}  // namespace kilofork
