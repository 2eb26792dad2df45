// Keeps the processors from halting: on each that this process may use, a process that runs only
// when nothing else wants to. Halted processors of a virtual machine may be woken late, by tenths
// of a second when tens of thousands of timers are due: what is measured then is the hypervisor.
//
// Processes, not threads: priorities hold within a session only, where the kernel groups tasks by
// session, and who is measured may have one of his own. So these have one of their own as well, of
// the least weight. They cost throughput, since a processor that is never idle never looks for work
// on the others: where no timer is measured, they do harm. sched(7), "The autogroup feature"
#pragma once

#include <sys/types.h>

#include <vector>

namespace kilofork {

class Awake {
 public:
  // Throws SystemError.
  Awake();
  ~Awake();
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;

 private:
  void end();

  std::vector<pid_t> processes_;
};

}  // namespace kilofork
