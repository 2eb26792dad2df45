// The load engine when a socket has no room to send, not even for a first byte, as when TCP runs
// out of memory. A send() of the test's own simulates that.
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "check.hpp"
#include "load_harness.hpp"

namespace {
thread_local int full_for = 0;  // calls of this thread
}

extern "C" ssize_t send(int fd, const void* bytes, size_t count, int flags) {
  if (full_for > 0) {
    full_for--;
    errno = EAGAIN;
    return -1;
  }
  return ::syscall(SYS_sendto, fd, bytes, count, flags, nullptr, 0);
}

namespace kilofork {
namespace {

using check::Conversation;
using check::Load;
using check::load_options;
using check::ScriptedServer;

TEST("a client waits for room, and then for the reply, without a busy loop") {
  constexpr Nanoseconds kWork = 300 * kMillisecond;
  ScriptedServer server([](Conversation& with) {
    with.greet();
    for (std::string request; !(request = with.line()).empty();) {
      ::usleep(kWork / kMicrosecond);
      with.send(with.reply(request));
    }
  });
  for (const int calls : {0, 1, 3}) {
    Load load(load_options(server.port(), 1, 2));
    const Nanoseconds used = read_clock(CLOCK_THREAD_CPUTIME_ID);
    full_for = calls;
    load.run();
    CHECK_EQ(full_for, 0);
    load.check(2, 2);
    CHECK(read_clock(CLOCK_THREAD_CPUTIME_ID) - used < kWork / 4);
  }
}

}  // namespace
}  // namespace kilofork
