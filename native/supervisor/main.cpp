// kilofork-supervisor: forks the children of a server and keeps their number.
//
// A static executable with one thread, started by the front (native/addon/spawn.cpp) with the
// descriptors below and nothing else open. It is no command for people. The settings come over the
// control channel, one a line, then "start".
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "../core/control.hpp"
#include "../core/error.hpp"
#include "../core/pool.hpp"
#include "../core/supervisor_descriptors.hpp"

namespace kilofork {
namespace {

PoolSettings read_settings(Control& control) {
  PoolSettings settings;
  while (auto line = control.read(true)) {
    if (line->text == "start") return settings;
    if (!apply_setting(settings, line->text))
      throw SystemError("setting \"" + line->text + "\"", EINVAL);
  }
  throw SystemError("the front is gone before \"start\"", EPIPE);
}

std::uint64_t supervise(const char* segment_name) {
  ::tzset();  // now: a child must not read files for the time zone
  Control control(kControlFd);
  PoolSettings settings = read_settings(control);
  Pool pool(std::move(settings), std::move(control),
            {.listener = kListenerFd, .log = kLogFd, .lifeline = kLifelineFd},
            Scoreboard::map(Fd(kSegmentFd), true), segment_name);
  return pool.run();
}

}  // namespace
}  // namespace kilofork

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("kilofork-supervisor is started by kilofork serve\n", stderr);
    return 2;
  }
  try {
    return kilofork::supervise(argv[1]) > 0 ? 1 : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kilofork-supervisor: %s\n", error.what());
    return 1;
  }
}
