// The work of a request: none, sleep or spin; and its timeout. Runs in a child. setitimer(2).
#pragma once

#include <signal.h>

#include <string_view>

#include "base/clock.hpp"
#include "child/child_log.hpp"
#include "child/service.hpp"

namespace kilofork {

class TimedWork {
 public:
  TimedWork(const Service& service, ChildLog& log) : service_(service), log_(log) {}

  // Returns when the work is done. If it takes longer than the work timeout, the child ends.
  void run(std::string_view message);

  // The handler of SIGALRM: if work is running, records the timeout and ends the child. While work
  // is running no record is being built, so the buffer is free.
  void time_out();

 private:
  const Service& service_;
  ChildLog& log_;
  volatile sig_atomic_t is_running_ = 0;
  std::string_view message_;  // of the running work, for time_out()
  Nanoseconds began_ = 0;     // likewise
};

}  // namespace kilofork
