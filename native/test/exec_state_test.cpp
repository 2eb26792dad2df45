#include "supervisor/exec_state.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <random>

#include "base/error.hpp"
#include "check.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using Lines = std::vector<std::string>;

void check_same(const ExecState& a, const ExecState& b) {
  CHECK(a.settings == b.settings);
  CHECK_EQ(a.wakeup, b.wakeup);
  CHECK_EQ(a.publish_log, b.publish_log);
  CHECK_EQ(a.receive_log, b.receive_log);
  CHECK_EQ(a.syncer, b.syncer);
  CHECK_EQ(a.inbox, b.inbox);
  CHECK_EQ(a.announced, b.announced);
  CHECK(a.pending_ends == b.pending_ends);
  CHECK_EQ(a.children.size(), b.children.size());
  for (std::size_t i = 0; i < a.children.size(); i++) {
    CHECK_EQ(a.children[i].slot, b.children[i].slot);
    CHECK_EQ(a.children[i].member.pid, b.children[i].member.pid);
    CHECK_EQ(a.children[i].member.cause, b.children[i].member.cause);
    CHECK_EQ(a.children[i].member.pending, b.children[i].member.pending);
    CHECK_EQ(a.children[i].member.told_at, b.children[i].member.told_at);
    CHECK_EQ(a.children[i].keeper_end, b.children[i].keeper_end);
  }
}

ExecState written_and_read(const ExecState& state) {
  return read_exec_state(write_exec_state(state).get());
}

TEST("an empty state is read back") {
  check_same(written_and_read({}), {});
}

TEST("settings are read back as they were, also empty lines, spaces and lines like \"start\"") {
  const ExecState state{.settings = {"max-line 1024", "", "start-children 5", "greeting  two ", " ",
                                     "start ", " start", "wakeup 7", "child", ""},
                        .wakeup = 3,
                        .publish_log = 4,
                        .receive_log = 5,
                        .syncer = 6,
                        .inbox = 7,
                        .announced = true,
                        .children = {},
                        .pending_ends = {"child pid 17 ended: signal 9, abnormal", ""}};
  check_same(written_and_read(state), state);
}

TEST("each cause is read back, of children that were told to leave, are pending, or neither") {
  ExecState state;
  for (std::size_t i = 0; i < kCauses; i++) {
    const auto cause = static_cast<Cause>(i);
    const auto pid = static_cast<pid_t>(1000 + i);
    state.children.push_back(
        {.slot = i * 3, .member = {.pid = pid, .cause = cause, .pending = false, .told_at = 0}});
    state.children.push_back(
        {.slot = i * 3 + 1,
         .member = {.pid = pid, .cause = cause, .pending = false, .told_at = 1}});
    state.children.push_back(
        {.slot = i * 3 + 2, .member = {.pid = 0, .cause = cause, .pending = true, .told_at = 0}});
  }
  check_same(written_and_read(state), state);
}

TEST("thousands of children and long settings are read back") {
  std::mt19937 random(17);
  ExecState state{.settings = Lines(100, "reply " + std::string(1000, 'x')),
                  .wakeup = 1023,
                  .publish_log = INT32_MAX,
                  .receive_log = 0,
                  .announced = false,
                  .children = {},
                  .pending_ends = {}};
  for (std::size_t slot = 0; slot < 10'000; slot++) {
    const bool pending = random() % 5 == 0;
    state.children.push_back(
        {.slot = slot,
         .member = {.pid = pending ? 0 : static_cast<pid_t>(random() % 4'194'303 + 1),
                    .cause = static_cast<Cause>(random() % kCauses),
                    .pending = pending,
                    .told_at = !pending && random() % 3 == 0}});
  }
  check_same(written_and_read(state), state);
}

TEST("a state can be read again, whatever the offset of its file") {
  const ExecState state{.settings = {"max-line 1024"},
                        .wakeup = 3,
                        .publish_log = 4,
                        .receive_log = 5,
                        .announced = false,
                        .children = {},
                        .pending_ends = {}};
  const Fd fd = write_exec_state(state);
  for (const off_t offset : {0, 7, 1'000'000}) {
    CHECK_EQ(::lseek(fd.get(), offset, SEEK_SET), offset);
    check_same(read_exec_state(fd.get()), state);
  }
}

TEST("the file of a state stays open on exec") {
  const Fd fd = write_exec_state({});
  CHECK_EQ(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  check::Process reader([&] {
    const std::string test = "test \"$(head -n 1 " + path + ")\" = start";
    ::execl("/bin/sh", "sh", "-c", test.c_str(), nullptr);
  });
  CHECK_EQ(reader.wait(), 0);
}

// The errno value that reading such a text fails with; 0 when it does not.
int error_of(std::string_view text) {
  const Fd fd(::memfd_create("malformed", MFD_CLOEXEC));
  CHECK_EQ(::write(fd.get(), text.data(), text.size()), text.size());
  try {
    (void)read_exec_state(fd.get());
  } catch (const SystemError& error) {
    return error.code;
  }
  return 0;
}

TEST("a text without the line \"start\" is refused") {
  CHECK_EQ(error_of("start\n"), 0);
  for (const char* text : {"", "\n", "max-line 1024\n", "max-line 1024", "star\n", "start \n"})
    CHECK_EQ(error_of(text), EPROTO);
}

TEST("a line that is not understood is refused") {
  CHECK_EQ(error_of("start\nwakeup 1\nannounced\nchild 1 2 0 0 -1 start\n"), 0);
  for (const char* line : {"",
                           " ",
                           "nonsense",
                           "nonsense 1",
                           "Wakeup 1",
                           " wakeup 1",
                           "wakeup",
                           "wakeup ",
                           "wakeup x",
                           "wakeup 1 2",
                           "wakeup 99999999999",
                           "publish-log",
                           "publish-log x",
                           "receive-log",
                           "receive-log 1x",
                           "announced 1",
                           "start",
                           "max-line 1024",
                           "child",
                           "child 1",
                           "child 1 2 0 0",
                           "child 1 2 0 0 ",
                           "child 1 2 0 start",
                           "child 1 2 0 0 -1 nonsense",
                           "child 1 2 0 0 -1 start x",
                           "child 1 2 0 0 x start",
                           "child 1 2 0 0 -1  start",
                           "child -1 2 0 0 -1 start",
                           "child x 2 0 0 -1 start",
                           "child 1 x 0 0 -1 start",
                           "child 1 2 x 0 -1 start",
                           "child 1 2 0 x -1 start"})
    CHECK_EQ(error_of("start\nwakeup 1\n" + std::string(line) + "\nwakeup 1\n"), EPROTO);
}

TEST("a descriptor that cannot be read is refused") {
  try {
    (void)read_exec_state(-1);
    CHECK(!"thrown");
  } catch (const SystemError& error) {
    CHECK_EQ(error.code, EBADF);
  }
}

}  // namespace
}  // namespace kilofork
