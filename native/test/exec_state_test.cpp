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

void check_same(const Handover& a, const Handover& b) {
  CHECK(a.settings == b.settings);
  CHECK_EQ(a.bell, b.bell);
  CHECK_EQ(a.give_log, b.give_log);
  CHECK_EQ(a.take_log, b.take_log);
  CHECK_EQ(a.syncer, b.syncer);
  CHECK_EQ(a.inbox, b.inbox);
  CHECK_EQ(a.announced, b.announced);
  CHECK(a.owed == b.owed);
  CHECK_EQ(a.children.size(), b.children.size());
  for (std::size_t i = 0; i < a.children.size(); i++) {
    CHECK_EQ(a.children[i].slot, b.children[i].slot);
    CHECK_EQ(a.children[i].member.pid, b.children[i].member.pid);
    CHECK_EQ(a.children[i].member.cause, b.children[i].member.cause);
    CHECK_EQ(a.children[i].member.owed, b.children[i].member.owed);
    CHECK_EQ(a.children[i].member.told, b.children[i].member.told);
  }
}

Handover written_and_read(const Handover& handover) {
  return read_handover(write_handover(handover).get());
}

TEST("an empty handover is read back") {
  check_same(written_and_read({}), {});
}

TEST("settings are read back as they were, empty ones, spaces and near-starts too") {
  const Handover handover{.settings = {"max-line 1024", "", "start-children 5", "greeting  two ",
                                       " ", "start ", " start", "bell 7", "child", ""},
                          .bell = 3,
                          .give_log = 4,
                          .take_log = 5,
                          .syncer = 6,
                          .inbox = 7,
                          .announced = true,
                          .children = {},
                          .owed = {"child pid 17 ended: signal 9, abnormal", ""}};
  check_same(written_and_read(handover), handover);
}

TEST("each cause is read back, told or owed or neither") {
  Handover handover;
  for (std::size_t i = 0; i < kCauses; i++) {
    const auto cause = static_cast<Cause>(i);
    const auto pid = static_cast<pid_t>(1000 + i);
    handover.children.push_back(
        {.slot = i * 3, .member = {.pid = pid, .cause = cause, .owed = false, .told = false}});
    handover.children.push_back(
        {.slot = i * 3 + 1, .member = {.pid = pid, .cause = cause, .owed = false, .told = true}});
    handover.children.push_back(
        {.slot = i * 3 + 2, .member = {.pid = 0, .cause = cause, .owed = true, .told = false}});
  }
  check_same(written_and_read(handover), handover);
}

TEST("thousands of children and long settings are read back") {
  std::mt19937 random(17);
  Handover handover{.settings = Lines(100, "reply " + std::string(1000, 'x')),
                    .bell = 1023,
                    .give_log = INT32_MAX,
                    .take_log = 0,
                    .announced = false,
                    .children = {},
                    .owed = {}};
  for (std::size_t slot = 0; slot < 10'000; slot++) {
    const bool owed = random() % 5 == 0;
    handover.children.push_back(
        {.slot = slot,
         .member = {.pid = owed ? 0 : static_cast<pid_t>(random() % 4'194'303 + 1),
                    .cause = static_cast<Cause>(random() % kCauses),
                    .owed = owed,
                    .told = !owed && random() % 3 == 0}});
  }
  check_same(written_and_read(handover), handover);
}

TEST("it can be read again, wherever somebody has read to") {
  const Handover handover{.settings = {"max-line 1024"},
                          .bell = 3,
                          .give_log = 4,
                          .take_log = 5,
                          .announced = false,
                          .children = {},
                          .owed = {}};
  const Fd fd = write_handover(handover);
  for (const off_t offset : {0, 7, 1'000'000}) {
    CHECK_EQ(::lseek(fd.get(), offset, SEEK_SET), offset);
    check_same(read_handover(fd.get()), handover);
  }
}

TEST("the next executable of the process finds it open") {
  const Fd fd = write_handover({});
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
    (void)read_handover(fd.get());
  } catch (const SystemError& error) {
    return error.code;
  }
  return 0;
}

TEST("what is no handover is refused") {
  CHECK_EQ(error_of("start\n"), 0);
  for (const char* text : {"", "\n", "max-line 1024\n", "max-line 1024", "star\n", "start \n"})
    CHECK_EQ(error_of(text), EPROTO);
}

TEST("a line that is not understood is refused") {
  CHECK_EQ(error_of("start\nbell 1\nannounced\nchild 1 2 0 0 start\n"), 0);
  for (const char* line : {"",
                           " ",
                           "nonsense",
                           "nonsense 1",
                           "Bell 1",
                           " bell 1",
                           "bell",
                           "bell ",
                           "bell x",
                           "bell 1 2",
                           "bell 99999999999",
                           "give-log",
                           "give-log x",
                           "take-log",
                           "take-log 1x",
                           "announced 1",
                           "start",
                           "max-line 1024",
                           "child",
                           "child 1",
                           "child 1 2 0 0",
                           "child 1 2 0 0 ",
                           "child 1 2 0 start",
                           "child 1 2 0 0 nonsense",
                           "child 1 2 0 0 start x",
                           "child 1 2 0 0  start",
                           "child -1 2 0 0 start",
                           "child x 2 0 0 start",
                           "child 1 x 0 0 start",
                           "child 1 2 x 0 start",
                           "child 1 2 0 x start"})
    CHECK_EQ(error_of("start\nbell 1\n" + std::string(line) + "\nbell 1\n"), EPROTO);
}

TEST("a descriptor that cannot be read is refused") {
  try {
    (void)read_handover(-1);
    CHECK(!"thrown");
  } catch (const SystemError& error) {
    CHECK_EQ(error.code, EBADF);
  }
}

}  // namespace
}  // namespace kilofork
