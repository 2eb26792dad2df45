#include "supervisor/spawn_record.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <cstdint>
#include <string>

#include "check.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::file;
using check::read_file;
using check::read_lines;

constexpr std::size_t kAlive = 12;
// The number of children in the last sample was another one.
constexpr Census kSeen{.alive = 9, .idle = 5, .waiting = 8, .finished = 99};
constexpr int kExit0 = W_EXITCODE(0, 0);

// Checks the time: milliseconds with three decimals, of the real-time clock.
std::string without_time(const std::string& line) {
  const std::string start = "{\"timeMs\":";
  CHECK(line.starts_with(start));
  const std::size_t end = line.find(',');
  const std::string time = line.substr(start.size(), end - start.size());
  CHECK_EQ(time.find_first_not_of("0123456789."), std::string::npos);
  CHECK_EQ(time.find('.') + 4, time.size());
  const Nanoseconds now = realtime_now() / kMillisecond;
  CHECK(std::stoll(time) <= now);
  CHECK(std::stoll(time) > now - 60'000);
  return start + "T" + line.substr(end);
}

// A record and its two files.
struct Written {
  explicit Written(const char* path_of_lines = nullptr)
      : lines_fd(::open(path_of_lines != nullptr ? path_of_lines : file("lines").c_str(),
                        O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
    CHECK(static_cast<bool>(lines_fd));
  }
  // The last record, without its time.
  [[nodiscard]] std::string record_text() const {
    const std::string line = read_lines(file("log")).back();
    CHECK_EQ(line.substr(RecordTime::kLength, 4), " -- ");
    return line.substr(RecordTime::kLength + 4);
  }
  // The last line of JSON, with T for the time, which is checked.
  [[nodiscard]] static std::string json() { return without_time(read_lines(file("lines")).back()); }

  Fd log = open_log(file("log"));
  Fd lines_fd;
  std::array<char, SpawnRecord::kBufferBytes> buffer{};
  PendingRecords pending{};
  SpawnRecord record{log.get(), lines_fd.get(), buffer, pending};
};

std::string pool_counts() {
  return ",\"alive\":12,\"idle\":5,\"waiting\":8}";
}

TEST("a fork is recorded with its cause, except that of the first children") {
  Written written;
  written.record.forked({.pid = 17, .slot = 3, .cause = Cause::start}, kAlive, kSeen);
  CHECK_EQ(written.record_text(), "have child pid 17");
  CHECK_EQ(written.json(),
           R"({"timeMs":T,"event":"fork","cause":"start","pid":17,"slot":3)" + pool_counts());
  for (std::size_t i = 1; i < kCauses; i++) {
    const auto cause = static_cast<Cause>(i);
    const std::string name(name_of(cause));
    written.record.forked({.pid = 18, .slot = 0, .cause = cause}, kAlive, kSeen);
    CHECK_EQ(written.record_text(), "have child pid 18 (" + name + ")");
    CHECK_EQ(written.json(), R"({"timeMs":T,"event":"fork","cause":")" + name +
                                 R"(","pid":18,"slot":0)" + pool_counts());
  }
}

TEST("a child that is told to leave is recorded with the reason") {
  Written written;
  written.record.retires({.pid = 17, .slot = 3, .cause = Cause::idle}, kAlive, kSeen);
  CHECK_EQ(written.record_text(), "child pid 17 retires (idle)");
  CHECK_EQ(written.json(),
           R"({"timeMs":T,"event":"retire","cause":"idle","pid":17,"slot":3)" + pool_counts());
  written.record.retires({.pid = 17, .slot = 3, .cause = Cause::replaced}, kAlive, kSeen);
  CHECK_EQ(written.record_text(), "child pid 17 retires (replaced)");
}

TEST("each end is recorded in words, and with its exit code or signal in JSON") {
  const struct {
    Cause cause;
    int status;
    std::string words;
    std::string how;
  } ends[] = {
      {Cause::idle, kExit0, "idle, retired", "\"exit\":0"},
      {Cause::recycled, W_EXITCODE(5, 0), "recycled, retired", "\"exit\":5"},
      {Cause::replaced, kExit0, "replaced, retired", "\"exit\":0"},
      {Cause::asked, kExit0, "exit 0, retired", "\"exit\":0"},
      {Cause::stopped, kExit0, "exit 0, stopped", "\"exit\":0"},
      {Cause::cut, W_EXITCODE(3, 0), "exit 3, abnormal", "\"exit\":3"},
      {Cause::crashed, W_EXITCODE(255, 0), "exit 255, abnormal", "\"exit\":255"},
      {Cause::crashed, W_EXITCODE(0, SIGSEGV), "signal 11, abnormal", "\"signal\":11"},
      {Cause::crashed, W_EXITCODE(0, SIGABRT) | WCOREFLAG, "signal 6, abnormal", "\"signal\":6"},
      {Cause::killed, W_EXITCODE(0, SIGKILL), "signal 9, abnormal", "\"signal\":9"},
      {Cause::sick, W_EXITCODE(4, 0), "exit 4, abnormal", "\"exit\":4"},
      {Cause::work_timeout, W_EXITCODE(6, 0), "work timeout, abnormal", "\"exit\":6"},
      {Cause::orphaned, W_EXITCODE(0, SIGKILL), "signal 9, abnormal", "\"signal\":9"},
  };
  Written written;
  for (const auto& [cause, status, words, how] : ends) {
    written.record.ended({.pid = 17, .slot = 3, .cause = cause}, status, kAlive, kSeen);
    CHECK_EQ(written.record_text(), "child pid 17 ended: " + words);
    CHECK_EQ(written.json(), R"({"timeMs":T,"event":"end","cause":")" +
                                 std::string(name_of(cause)) + R"(","pid":17,"slot":3,)" + how +
                                 pool_counts());
  }
}

TEST("the longest line and the longest record are whole") {
  Written written;
  const Census census{.alive = 0, .idle = SIZE_MAX, .waiting = SIZE_MAX, .finished = 0};
  const SpawnRecord::Child child{.pid = INT32_MAX, .slot = SIZE_MAX, .cause = Cause::work_timeout};
  const std::string most = std::to_string(SIZE_MAX);
  written.record.ended(child, W_EXITCODE(255, 0), SIZE_MAX, census);
  CHECK_EQ(written.json(),
           R"({"timeMs":T,"event":"end","cause":"work timeout","pid":2147483647,"slot":)" + most +
               R"(,"exit":255,"alive":)" + most + R"(,"idle":)" + most + R"(,"waiting":)" + most +
               "}");
  written.record.forked(child, SIZE_MAX, census);
  CHECK_EQ(written.record_text(), "have child pid 2147483647 (work timeout)");
}

TEST("events are recorded in their order, one line for each") {
  Written written;
  for (pid_t pid = 1; pid <= 500; pid++) {
    const SpawnRecord::Child child{.pid = pid, .slot = 0, .cause = Cause::idle};
    written.record.forked(child, kAlive, kSeen);
    written.record.retires(child, kAlive, kSeen);
    written.record.ended(child, kExit0, kAlive, kSeen);
  }
  const auto lines = read_lines(file("lines"));
  CHECK_EQ(lines.size(), 1500);
  CHECK_EQ(read_lines(file("log")).size(), 1500);
  const std::array<std::string, 3> events{"fork", "retire", "end"};
  for (std::size_t i = 0; i < lines.size(); i++) {
    (void)without_time(lines[i]);
    CHECK(lines[i].find("\"event\":\"" + events.at(i % 3) + '"') != std::string::npos);
    CHECK(lines[i].find("\"pid\":" + std::to_string(i / 3 + 1) + ',') != std::string::npos);
  }
}

TEST("other records go to the same log in between") {
  Written written;
  written.record.forked({.pid = 17, .slot = 3, .cause = Cause::queue}, kAlive, kSeen);
  CHECK(written.record.write("something else 7"));
  CHECK_EQ(written.record_text(), "something else 7");
  written.record.forked({.pid = 18, .slot = 3, .cause = Cause::queue}, kAlive, kSeen);
  CHECK_EQ(written.record_text(), "have child pid 18 (queue)");
}

TEST("a dead log gets no record, and records of ends wait for the next log") {
  Written written;
  written.record.suspend();
  CHECK(!written.record.write("something else"));
  written.record.forked({.pid = 17, .slot = 3, .cause = Cause::queue}, kAlive, kSeen);
  written.record.ended({.pid = 17, .slot = 3, .cause = Cause::killed}, SIGKILL, kAlive, kSeen);
  CHECK_EQ(read_lines(file("log")).size(), 0);
  CHECK(written.record.has_pending());
  CHECK_EQ(written.pending.ends.load(), 1);
  written.record.resume();
  written.record.write_pending();
  CHECK_EQ(written.record_text(), "child pid 17 ended: signal 9, abnormal");
  CHECK(!written.record.has_pending() && written.record.is_complete());
}

TEST("pending records can be handed to another process, or are known to be lost") {
  Written written;
  written.record.suspend();
  written.record.ended({.pid = 17, .slot = 3, .cause = Cause::killed}, SIGKILL, kAlive, kSeen);
  SpawnRecord next(written.log.get(), written.lines_fd.get(), written.buffer, written.pending);
  CHECK(!next.has_pending() && !next.is_complete());
  next.take_over(written.record.pending_ends());
  CHECK(next.has_pending());
  next.write_pending();
  CHECK_EQ(written.record_text(), "child pid 17 ended: signal 9, abnormal");
  CHECK(!next.has_pending() && next.is_complete());
}

TEST("torn heads of other processes are closed, each by a marker") {
  Written written;
  written.pending.torn_heads = 2;
  written.record.suspend();
  written.record.write_pending();
  CHECK(written.record.has_pending());
  written.record.resume();
  written.record.write_pending();
  CHECK_EQ(read_file(file("log")), "<torn>\n<torn>\n");
  CHECK_EQ(written.pending.torn_heads.load(), 0);
}

TEST("if the lines of JSON cannot be written, the log still is") {
  Written written("/dev/full");
  written.record.forked({.pid = 17, .slot = 3, .cause = Cause::queue}, kAlive, kSeen);
  CHECK_EQ(written.record_text(), "have child pid 17 (queue)");
}

}  // namespace
}  // namespace kilofork
