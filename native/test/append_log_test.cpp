#include "log/append_log.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <regex>

#include "base/error.hpp"
#include "check.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;
using check::file;
using check::Process;
using check::read_file;
using check::read_lines;

const std::string kTime = R"(\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d{9})";

bool matches(const std::string& text, const std::string& pattern) {
  return std::regex_match(text, std::regex(pattern));
}

int open_error(const std::string& path) {
  try {
    open_log(path);
  } catch (const SystemError& error) {
    return error.code;
  }
  return 0;
}

// A log with the memory that it needs.
struct Writer {
  explicit Writer(int fd, std::size_t longest_line = 1024)
      : buffer(AppendLog::buffer_bytes(longest_line)), log(fd, buffer) {}
  std::vector<char> buffer;
  AppendLog log;
};

TEST("a record of the offset stands before the first record that has another one") {
  ::setenv("TZ", "CET-1", 1);
  ::tzset();
  UtcOffset offset;
  offset.publish(0, 7200);
  const Fd log = open_log(file("log"));
  std::vector<char> buffer(AppendLog::buffer_bytes(100));
  AppendLog one(log.get(), buffer, offset);
  const auto limit_file = [](rlim_t bytes) {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    CHECK_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  };
  ::signal(SIGXFSZ, SIG_IGN);
  limit_file(90);  // the record of the offset has room, the other one has not
  CHECK(!one.record().text("first of all these records").commit());
  limit_file(RLIM_INFINITY);
  CHECK(one.record().text("first of all these records").commit());
  CHECK(one.record().text("second").commit());
  AppendLog two(log.get(), buffer, offset);
  CHECK(two.record().text("third").commit());
  const std::vector<std::string> lines = read_lines(file("log"));
  std::vector<std::string> texts;
  for (const auto& line : lines)
    texts.push_back(line.substr(std::min(line.size(), RecordTime::kLength)));
  CHECK_EQ(texts.size(), 6);
  CHECK_EQ(texts[0], " -- local time is UTC+01:00");
  CHECK(lines[1].ends_with("<torn>"));
  CHECK_EQ(texts[2], " -- local time is UTC+01:00");
  CHECK_EQ(texts[3], " -- first of all these records");
  CHECK_EQ(lines[2].substr(0, RecordTime::kLength), lines[3].substr(0, RecordTime::kLength));
  CHECK_EQ(texts[4], " -- second");
  CHECK_EQ(texts[5], " -- third");
}

TEST("a record is its time, two dashes and its text, in one line") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  CHECK(writer.log.record().text("have child pid ").number(29756).commit());
  CHECK(writer.log.record()
            .text("completed req ")
            .quoted("lalala 17")
            .text(" on ")
            .number(-1)
            .commit());
  CHECK(writer.log.record().commit());
  CHECK(matches(read_file(file("log")), kTime + " -- have child pid 29756\n" + kTime +
                                            R"( -- completed req "lalala 17" on -1)"
                                            "\n" +
                                            kTime + " -- \n"));
}

TEST("the time of a record is that of its writing") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  RecordTime clock;
  std::string before(RecordTime::kLength, '?');
  std::string after = before;
  writer.log.record().text("built, and left for a while");
  ::usleep(2000);
  clock.format(to_timespec(realtime_now()), before.data());
  CHECK(writer.log.commit());
  clock.format(to_timespec(realtime_now()), after.data());
  const std::string written = read_file(file("log")).substr(0, RecordTime::kLength);
  CHECK(before <= written && written <= after);
}

TEST("what is quoted cannot end its quotes or its line") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  CHECK(writer.log.record().quoted("a\"b\\c\n2020.01.01 -- Server stop\r\0\xff"s).commit());
  const auto lines = read_lines(file("log"));
  CHECK_EQ(lines.size(), 1);
  CHECK_EQ(lines[0].substr(RecordTime::kLength),
           R"( -- "a\"b\\c\x0a2020.01.01 -- Server stop\x0d\x00\xff")");
}

TEST("the largest number and the longest message, all of it escaped, fit into the buffer") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  const std::string worst(1024, '\n');
  CHECK(writer.log.record().text("completed req ").quoted(worst).number(INT64_MIN).commit());
  CHECK_EQ(read_file(file("log")).size(), RecordTime::kLength + 4 + 14 + 2 + 4096 + 20 + 1);
}

TEST("a new log has mode 0640; a log that exists keeps its mode and its content") {
  ::umask(0);
  (void)open_log(file("new"));
  struct stat status {};
  CHECK_EQ(::stat(file("new").c_str(), &status), 0);
  CHECK_EQ(status.st_mode & 07777, 0640);

  std::ofstream(file("old")) << "an earlier run\n";
  CHECK_EQ(::chmod(file("old").c_str(), 0600), 0);
  const Fd fd = open_log(file("old"));
  Writer writer(fd.get());
  CHECK(writer.log.record().text("Server init").commit());
  CHECK(matches(read_file(file("old")), "an earlier run\n" + kTime + " -- Server init\n"));
  CHECK_EQ(::stat(file("old").c_str(), &status), 0);
  CHECK_EQ(status.st_mode & 07777, 0600);
}

TEST("a log is closed on exec") {
  const Fd fd = open_log(file("log"));
  CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST("a link is refused, whether it leads to a file or to nothing") {
  std::ofstream(file("target")) << "precious\n";
  CHECK_EQ(::symlink(file("target").c_str(), file("link").c_str()), 0);
  CHECK_EQ(::symlink(file("nowhere").c_str(), file("dangling").c_str()), 0);
  CHECK_EQ(open_error(file("link")), ELOOP);
  CHECK_EQ(open_error(file("dangling")), ELOOP);
  CHECK_EQ(read_file(file("target")), "precious\n");
  CHECK(::access(file("nowhere").c_str(), F_OK) != 0);
}

TEST("a fifo is refused at once, with a reader and without") {
  CHECK_EQ(::mkfifo(file("fifo").c_str(), 0600), 0);
  CHECK_EQ(open_error(file("fifo")), ENXIO);
  const Fd reader(::open(file("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  CHECK_EQ(open_error(file("fifo")), EMEDIUMTYPE);
}

TEST("a log that has another name is refused") {
  (void)open_log(file("log"));
  CHECK_EQ(::link(file("log").c_str(), file("other name").c_str()), 0);
  CHECK_EQ(open_error(file("log")), EMLINK);
  ::unlink(file("other name").c_str());
  CHECK_EQ(open_error(file("log")), 0);
}

TEST("a log of another user is refused") {
  constexpr uid_t kNobody = 65534;
  (void)open_log(file("log"));
  if (::chown(file("log").c_str(), kNobody, kNobody) != 0) return;  // only the superuser can
  CHECK_EQ(open_error(file("log")), EPERM);
}

TEST("a folder, and a file in a folder that is not there, are refused") {
  CHECK_EQ(open_error(check::folder()), EISDIR);
  CHECK_EQ(open_error(file("missing/log")), ENOENT);
}

TEST("a character device is accepted, and is not locked") {
  const Fd one = open_log("/dev/null");
  const Fd two = open_log("/dev/null");
  Writer writer(one.get());
  CHECK(writer.log.record().text("Server init").commit());
}

TEST("a log cannot be opened again until it is closed, in this process or another") {
  {
    const Fd first = open_log(file("log"));
    CHECK_EQ(open_error(file("log")), EWOULDBLOCK);
    Process other([] { CHECK_EQ(open_error(file("log")), EWOULDBLOCK); });
    CHECK_EQ(other.wait(), 0);
  }
  CHECK_EQ(open_error(file("log")), 0);
}

TEST("a lock lives on in the children that inherited the log") {
  std::optional<Fd> fd = open_log(file("log"));
  const Process child([] { ::pause(); });
  fd.reset();
  CHECK_EQ(open_error(file("log")), EWOULDBLOCK);
  child.signal(SIGKILL);
  CHECK(check::holds_in_time([] { return open_error(file("log")) == 0; }));
}

void limit_files_to(rlim_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
  CHECK_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST("a record that fits only in part is not written, and the next one begins with the marker") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  CHECK(writer.log.record().text("first").commit());
  const std::size_t first = read_file(file("log")).size();
  limit_files_to(first + 10);
  CHECK(!writer.log.record().text("second").commit());
  CHECK_EQ(errno, ENOSPC);
  CHECK_EQ(read_file(file("log")).size(), first + 10);
  CHECK(!writer.log.record().text("third").commit());  // not a single byte of it
  CHECK_EQ(errno, EFBIG);
  limit_files_to(RLIM_INFINITY);
  CHECK(writer.log.record().text("fourth").commit());
  CHECK(writer.log.record().text("fifth").commit());
  const auto lines = read_lines(file("log"));
  CHECK_EQ(lines.size(), 4);
  CHECK(matches(lines[0], kTime + " -- first"));
  CHECK(matches(lines[1], R"(\d{4}\.\d\d\.\d\d<torn>)"));
  CHECK(matches(lines[2], kTime + " -- fourth"));
  CHECK(matches(lines[3], kTime + " -- fifth"));
}

TEST("the marker itself may be torn, and is written again") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  limit_files_to(10);
  CHECK(!writer.log.record().text("first").commit());
  limit_files_to(13);
  CHECK(!writer.log.record().text("second").commit());
  limit_files_to(RLIM_INFINITY);
  CHECK(writer.log.record().text("third").commit());
  const auto lines = read_lines(file("log"));
  CHECK_EQ(lines.size(), 2);
  CHECK(matches(lines[0], R"(\d{4}\.\d\d\.\d\d<to<torn>)"));
  CHECK(matches(lines[1], kTime + " -- third"));
}

TEST("a record of which nothing was written needs no marker") {
  const Fd fd = open_log(file("log"));
  Writer writer(fd.get());
  CHECK(writer.log.record().text("first").commit());
  limit_files_to(read_file(file("log")).size());
  CHECK(!writer.log.record().text("second").commit());
  limit_files_to(RLIM_INFINITY);
  CHECK(writer.log.record().text("third").commit());
  CHECK(matches(read_file(file("log")), kTime + " -- first\n" + kTime + " -- third\n"));
}

TEST("a full device refuses every record") {
  const Fd fd = open_log("/dev/full");
  Writer writer(fd.get());
  CHECK(!writer.log.record().text("lost").commit());
  CHECK_EQ(errno, ENOSPC);
}

TEST("eight processes write at once, and no record is torn, lost, or out of its order") {
  constexpr int kWriters = 8;
  constexpr int kRecords = 4000;
  const Fd fd = open_log(file("log"));
  std::vector<Process> writers;
  for (int w = 0; w < kWriters; w++)
    writers.emplace_back([&fd, w] {
      Writer writer(fd.get());
      for (int i = 1; i <= kRecords; i++) {
        const std::string message(static_cast<std::size_t>(i % 200), static_cast<char>('a' + w));
        CHECK(writer.log.record()
                  .text("writer ")
                  .number(w)
                  .text(" message ")
                  .quoted(message)
                  .text(" number ")
                  .number(i)
                  .commit());
      }
    });
  for (Process& writer : writers) CHECK_EQ(writer.wait(), 0);

  const auto lines = read_lines(file("log"));
  CHECK_EQ(lines.size(), kWriters * kRecords);
  std::array<int, kWriters> last{};
  const std::regex pattern(kTime + R"re( -- writer (\d) message "([a-h]*)" number (\d+))re");
  for (const auto& line : lines) {
    std::smatch found;
    CHECK(std::regex_match(line, found, pattern));
    const int writer = std::stoi(found[1]);
    const int number = std::stoi(found[3]);
    CHECK_EQ(number, ++last.at(static_cast<std::size_t>(writer)));
    CHECK_EQ(std::string(found[2]),
             std::string(static_cast<std::size_t>(number % 200), static_cast<char>('a' + writer)));
  }
}

}  // namespace
}  // namespace kilofork
