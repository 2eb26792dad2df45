#include "awake.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace kilofork {

namespace {

// No exception: without the priority the thread would take time from others, so it ends.
void spin_on(std::size_t processor, const std::atomic<bool>& ended) {
  constexpr int kLowest = 19;
  constexpr int kTurns = 1000;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  const sched_param none{};
  if (::sched_setaffinity(0, sizeof one, &one) != 0 ||
      ::sched_setscheduler(0, SCHED_IDLE, &none) != 0 ||
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLowest) != 0)
    return;
  while (!ended.load(std::memory_order_relaxed))
    for (int turn = 0; turn < kTurns; turn++) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#else
      asm volatile("yield");
#endif
    }
}

}  // namespace

Awake::Awake() {
  cpu_set_t ours;
  CPU_ZERO(&ours);
  ::sched_getaffinity(0, sizeof ours, &ours);
  for (std::size_t processor = 0; processor < CPU_SETSIZE; processor++)
    if (CPU_ISSET(processor, &ours))
      threads_.emplace_back([this, processor] { spin_on(processor, ended_); });
}

Awake::~Awake() {
  ended_ = true;
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace kilofork
