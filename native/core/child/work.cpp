#include "child/work.hpp"

#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "child/child.hpp"

namespace kilofork {

namespace {

void sleep(Nanoseconds duration) {
  const timespec until = to_timespec(monotonic_now() + duration);
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) continue;
}

// Uses that much CPU time of this process.
void spin(Nanoseconds duration) {
  const Nanoseconds end = read_clock(CLOCK_PROCESS_CPUTIME_ID) + duration;
  while (read_clock(CLOCK_PROCESS_CPUTIME_ID) < end)
    for (int i = 0; i < 1000; i++) asm volatile("");  // between two readings of the clock
}

void run_untimed(const Work& work) {
  switch (work.kind) {
    case Work::Kind::none:
      return;
    case Work::Kind::sleep:
      return sleep(work.duration);
    case Work::Kind::spin:
      return spin(work.duration);
  }
}

void set_alarm(Nanoseconds after) {
  const itimerval alarm{.it_interval = {}, .it_value = to_timeval(after)};
  ::setitimer(ITIMER_REAL, &alarm, nullptr);
}

}  // namespace

void TimedWork::run(std::string_view message) {
  if (service_.work_timeout == 0) return run_untimed(service_.work);
  message_ = message;
  began_ = monotonic_now();
  is_running_ = 1;
  set_alarm(service_.work_timeout);
  run_untimed(service_.work);
  is_running_ = 0;  // from here on, an alarm is late and ends nothing
  set_alarm(0);
}

void TimedWork::time_out() {
  if (is_running_ == 0) return;
  log_.record_work_timeout(message_, monotonic_now() - began_);
  ::_exit(kExitStuck);
}

}  // namespace kilofork
