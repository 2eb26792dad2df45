// The signal handlers of a child, and the flags that they share with its loop. Runs in a child.
//
//   SIGTERM   retire: serve the present connection to its end, and take no other
//   SIGUSR2   stop: answer the request in work, then close the connection
//   SIGQUIT   quit: leave at once
//   SIGCONT   likewise, if the supervisor is dead; the kernel sends it then
//   SIGUSR1   adopt the newest log
//   SIGALRM   from the child's own timer: the work of a request takes too long
//
// Handlers make system calls only. None interrupts a write to the log half-way, since a write to a
// file is not interruptible; so a child that leaves in a handler tears no record. signal-safety(7).
#pragma once

#include <signal.h>

namespace kilofork {

struct ChildContext;
class ChildLog;
class Intake;
class TimedWork;

struct ChildSignals {
  volatile sig_atomic_t retiring = 0;
  volatile sig_atomic_t stopping = 0;
  volatile sig_atomic_t in_request = 0;  // from before the received record until the reply is sent
  // What the handlers act on. Signals stay blocked until all of it is set.
  const ChildContext* context = nullptr;
  Intake* intake = nullptr;
  ChildLog* log = nullptr;
  TimedWork* work = nullptr;

  [[nodiscard]] bool is_told_to_leave() const { return retiring != 0 || stopping != 0; }
};

// Called by the forker, with all signals blocked; children inherit the handlers. The caller keeps
// `signals` on its stack, whose page each child writes to anyway; a global variable would cost each
// child one more page.
void set_up_signals_of_children(ChildSignals& signals);

// Called by a child before it unblocks its signals.
ChildSignals& signals_of_this_child();

}  // namespace kilofork
