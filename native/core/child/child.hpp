// One child: accepts a connection, greets the client, reads requests, checks them, does the work
// and replies; then takes the next connection.
//
// Runs in a process of its own, which the supervisor's fork server forks. A child writes its own
// slot of the scoreboard and appends to the log. It gets orders as signals: see child_signals.hpp.
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
  kExitOrdered = 0,   // ordered to leave, between two requests
  kExitAborted = 3,   // ordered to leave, during a request
  kExitSick = 4,      // accept() fails: the supervisor delays the next child
  kExitRecycled = 5,  // has served the maximum number of requests; its last client was served
  kExitStuck = 6,     // the work of a request took too long
};

// What a child inherits from the supervisor. The descriptors are the child's own copies.
struct ChildContext {
  const Service& service;
  Scoreboard& scoreboard;
  const char* segment_path;  // in the file system, from keep_read_only(); an orphan may remove it
  const char* name;          // of the process; also from keep_read_only()
  pid_t supervisor;
  int listener;
  int log;
  std::uint32_t log_epoch;  // of `log`; the scoreboard may name a newer one
  int lifeline;             // end of file: the front is gone
  int log_broadcast;        // offers the newest log: see log_broadcast.hpp
  int wakeup;               // eventfd(2): wakes the supervisor
  char* memory;  // child_memory_bytes(), untouched: a page becomes private when it is written
};

std::size_t child_memory_bytes(const Service& service);

// `reserved` is the word of the slot that was reserved for this child. The child leaves if the slot
// holds another word, because the supervisor no longer expects it.
[[noreturn]] void run_child(const ChildContext& context, Slot& slot, std::uint64_t reserved);

}  // namespace kilofork
