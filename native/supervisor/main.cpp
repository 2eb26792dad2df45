// kilofork-supervisor: a static executable with one thread, which owns the children of a server.
// The front starts it (native/addon/spawn.cpp) with the descriptors of process/descriptors.hpp and
// no others. Its settings come over the control channel, one a line, then "start"; or from the
// state of the supervisor that it replaces (supervisor/exec_state.hpp).
//
//   kilofork-supervisor SEGMENT [EXEC_STATE_FD]
//   kilofork-supervisor --compatibility    what two executables must agree on to replace each other
//   kilofork-supervisor --settings         the names of all settings, one a line
#include <signal.h>

#include <cstdio>
#include <ctime>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/tokens.hpp"
#include "process/descriptors.hpp"
#include "process/lockdown.hpp"
#include "process/signals.hpp"
#include "supervisor/control.hpp"
#include "supervisor/exec_state.hpp"
#include "supervisor/pool.hpp"
#include "supervisor/settings.hpp"

namespace kilofork {
namespace {

std::vector<std::string> receive_settings(Control& control) {
  std::vector<std::string> lines;
  while (auto line = control.read(true)) {
    if (line->text == "start") return lines;
    lines.push_back(std::move(line->text));
  }
  throw SystemError("the front is gone before \"start\"", EPIPE);
}

std::uint64_t supervise(const char* segment_name, const char* exec_state_fd) {
  drop_privileges();
  continue_when_parent_dies();  // to find the end of file of control
  ::tzset();                    // a child may not open the files of the time zone
  Control control(kControlFd);
  if (!kFiltersSystemCalls) control.send("unfiltered");
  std::optional<ExecState> predecessor;
  if (exec_state_fd != nullptr) {
    int fd = -1;
    if (!parse_number(std::string_view(exec_state_fd), fd))
      throw SystemError(exec_state_fd, EINVAL);
    predecessor = read_exec_state(Fd(fd).get());
  }
  auto lines = predecessor ? std::move(predecessor->settings) : receive_settings(control);
  Scoreboard scoreboard(Segment::map(Fd(kSegmentFd)));
  PoolSettings settings = parse_settings(lines, scoreboard.slots().size());
  // On the heap: children do not get the supervisor's stack (process/footprint.hpp).
  const auto pool =
      std::make_unique<Pool>(std::move(settings), std::move(lines), std::move(control),
                             InheritedDescriptors{.listener = kListenerFd,
                                                  .log = kLogFd,
                                                  .segment = kSegmentFd,
                                                  .lifeline = kLifelineFd,
                                                  .spawn_log = kSpawnLogFd},
                             std::move(scoreboard), segment_name, std::move(predecessor));
  return pool->run();
}

}  // namespace
}  // namespace kilofork

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--compatibility") {
    std::puts(kilofork::compatibility().c_str());
    return 0;
  }
  if (argc == 2 && std::string_view(argv[1]) == "--settings") {
    for (const auto name : kilofork::setting_names()) std::puts(std::string(name).c_str());
    return 0;
  }
  if (argc != 2 && argc != 3) {
    std::fputs("kilofork-supervisor is started by kilofork serve\n", stderr);
    return 2;
  }
  try {
    return kilofork::supervise(argv[1], argv[2]) > 0 ? 1 : 0;
  } catch (const kilofork::LockdownRefused&) {
    return 1;  // the front says so
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kilofork-supervisor: %s\n", error.what());
    return 1;
  }
}
