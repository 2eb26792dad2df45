// One child: accept, greet, read, check, record, work, record, count, reply; again and again.
//
// Runs in a process of its own, forked by the supervisor; nothing here runs anywhere else. It
// writes its own slot of the scoreboard and appends to the log. What it is told, it is told by
// signals, and each of them leaves at a point where no record is torn:
//
//   SIGTERM   retire: no further connection, the present one is served to its end
//   SIGUSR2   stop: the request in work is answered, then the connection is closed
//   SIGQUIT   leave at once; also sent by the kernel when the supervisor dies (PR_SET_PDEATHSIG)
//   SIGUSR1   look at the scoreboard: the log may have been reopened
//
// SIGALRM is its own: the work of a request takes too long.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>

#include "child/service.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {

// How a child ends, as the supervisor reads it from waitpid(2).
enum ChildExit : int {
  kExitOrdered = 0,   // told to, between two requests
  kExitAborted = 3,   // told to, in the middle of a request
  kExitSick = 4,      // cannot accept: its successor will wait a little
  kExitRecycled = 5,  // has served as many requests as a child may, and its last client to the end
  kExitStuck = 6,     // the work of a request took too long
};

// What the supervisor's process hands down. The descriptors are the child's own copies.
struct ChildContext {
  const Service& service;
  Scoreboard& scoreboard;
  const char* segment_path;  // in the file system, of keep_read_only(): for a last orphan to remove
  const char* name;          // of the process; likewise
  pid_t supervisor;
  int listener;
  int log;
  std::uint32_t log_epoch;  // of that log; the scoreboard may name a newer one
  int lifeline;             // end of file: the front is gone
  int log_broadcast;        // holds the newest log, see log_handoff.hpp
  int wakeup;               // eventfd(2): wakes the supervisor
  char* memory;  // child_memory_bytes(), untouched: its pages become the child's own when used
};

std::size_t child_memory_bytes(const Service& service);

// What the signal handlers of a child share with its loop.
struct ChildSignals {
  volatile sig_atomic_t retiring = 0;
  volatile sig_atomic_t stopping = 0;
  volatile sig_atomic_t in_request = 0;  // from before its first record until its reply is sent
  volatile sig_atomic_t in_work = 0;     // the part of it between the two records
  volatile int connection = -1;          // -1 between connections
  const ChildContext* context = nullptr;
  void* child = nullptr;  // the loop itself
};

// In whoever forks children, with all signals blocked: a child inherits what is to be done at each.
// `signals`: kept by the caller, best on the stack, which a child makes its own in any case.
void set_up_signals_of_children(ChildSignals& signals);

// `reserved`: the word of the slot as it was left for this child. One that finds another there is
// not expected any more, and leaves.
[[noreturn]] void run_child(const ChildContext& context, Slot& slot, std::uint64_t reserved);

}  // namespace kilofork
