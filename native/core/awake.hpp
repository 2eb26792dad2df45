// Keeps the processors from halting: on each that this process may use, a thread that runs only
// when nothing else wants to (SCHED_IDLE, and the lowest nice value, so that proc_stat(5) counts it
// apart). Halted processors of a virtual machine may be woken late, by tenths of a second when tens
// of thousands of timers are due: what is measured then is the hypervisor. sched(7)
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace kilofork {

class Awake {
 public:
  Awake();
  ~Awake();
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;

 private:
  std::atomic<bool> ended_{false};
  std::vector<std::thread> threads_;
};

}  // namespace kilofork
