// One child: accepts a connection, greets the client, reads requests, checks them, does the work
// and replies; then takes the next connection.
//
// Runs in a process of its own, which the forker forks (supervisor/forker.hpp). A child writes its
// own slot of the scoreboard and appends to the log. Its orders are signals (child_signals.hpp).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "child/child_signals.hpp"
#include "child/service.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {

// Exit codes of a child. The supervisor reads them from waitpid(2).
enum ChildExit : int {
  kExitOrdered = 0,   // left by order, between two requests
  kExitAborted = 3,   // left by order, during a request
  kExitSick = 4,      // accept(2) failed: the supervisor delays the next child
  kExitRecycled = 5,  // has served the maximum number of requests, and its last client
  kExitStuck = 6,     // the work of a request took too long
};

// What a child inherits from the supervisor, by way of the forker. The descriptors are its own
// copies.
struct ChildContext {
  const Service& service;
  Scoreboard& scoreboard;
  const char* segment_path;  // from keep_read_only(); an orphan may remove this file
  const char* name;          // of the process; from keep_read_only(), too
  pid_t supervisor;
  int listener;  // with a keeper: this child's socket to it
  int log;
  std::uint32_t log_epoch;  // of `log`; the header may name a newer one
  int lifeline;             // at its end of file, the front is gone
  int front;                // pidfd_open(2) of the front; -1: this kernel has none
  int log_broadcast;        // the receiving end of log/log_broadcast.hpp
  int wakeup;               // eventfd(2): wakes the supervisor
  char* memory;             // child_memory_bytes(); a child itself may map none
};

std::size_t child_memory_bytes(const Service& service);

// The new process. `reserved`: the word of the slot as it was reserved for this child. If the slot
// holds another word, the supervisor no longer expects the child, and the child leaves.
[[noreturn]] void run_child(const ChildContext& context, Slot& slot, std::uint64_t reserved);

}  // namespace kilofork
