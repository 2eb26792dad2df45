#include "log/log_broadcast.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <set>

#include "check.hpp"
#include "log/append_log.hpp"
#include "process/fd_passing.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::file;
using check::Process;

// The file that a descriptor refers to.
std::string path_of(int fd) {
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd));
}

std::string log_number(std::uint32_t epoch) {
  return file("log." + std::to_string(epoch));
}

TEST("if no log is published, none is received, without a wait") {
  const LogBroadcast log_broadcast = make_log_broadcast();
  CHECK(!peek_log(log_broadcast.receive.get()));
}

TEST("a published log is received again and again, with its epoch") {
  const LogBroadcast log_broadcast = make_log_broadcast();
  publish_log(log_broadcast, open_log(log_number(7)).get(), 7);
  for (int i = 0; i < 5; i++) {
    const auto published = peek_log(log_broadcast.receive.get());
    CHECK(published.has_value());
    CHECK_EQ(published->epoch, 7);
    CHECK_EQ(path_of(published->fd.get()), log_number(7));
    CHECK((::fcntl(published->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(published->fd.get(), F_GETFL) & O_APPEND) != 0);
  }
}

TEST("the newest log is received, and the older ones are closed") {
  const LogBroadcast log_broadcast = make_log_broadcast();
  for (const std::uint32_t epoch : {1U, 2U, 3U, UINT32_MAX}) {
    publish_log(log_broadcast, open_log(log_number(epoch)).get(), epoch);
    const auto published = peek_log(log_broadcast.receive.get());
    CHECK(published.has_value());
    CHECK_EQ(published->epoch, epoch);
    CHECK_EQ(path_of(published->fd.get()), log_number(epoch));
  }
  for (const std::uint32_t old : {1U, 2U, 3U}) (void)open_log(log_number(old));  // its lock is free
}

TEST("many processes that were forked before receive the same log") {
  constexpr int kReaders = 50;
  const LogBroadcast log_broadcast = make_log_broadcast();
  std::array<int, 2> start{};
  CHECK_EQ(::pipe2(start.data(), O_CLOEXEC), 0);
  Fd wait_here(start[0]);
  Fd starter(start[1]);
  std::vector<Process> readers;
  for (int i = 0; i < kReaders; i++)
    readers.emplace_back([&, i] {
      starter.reset();
      char none = 0;
      CHECK_EQ(::read(wait_here.get(), &none, 1), 0);
      const auto published = peek_log(log_broadcast.receive.get());
      CHECK(published.has_value());
      CHECK_EQ(published->epoch, 9);
      std::vector<char> buffer(AppendLog::buffer_bytes(100));
      CHECK(AppendLog(published->fd.get(), buffer).record().text("reader ").number(i).commit());
    });
  publish_log(log_broadcast, open_log(log_number(9)).get(), 9);
  starter.reset();
  for (Process& reader : readers) CHECK_EQ(reader.wait(), 0);
  std::set<std::string> texts;
  for (const auto& line : check::read_lines(log_number(9)))
    texts.insert(line.substr(RecordTime::kLength));
  CHECK_EQ(texts.size(), kReaders);
}

TEST("a reader gets a log with its own epoch, or none, and never an older one than before") {
  constexpr std::uint32_t kLogs = 300;
  const LogBroadcast log_broadcast = make_log_broadcast();
  std::vector<Process> readers;
  for (int i = 0; i < 4; i++)
    readers.emplace_back([&] {
      for (std::uint32_t newest = 0; newest < kLogs;) {
        const auto published = peek_log(log_broadcast.receive.get());
        if (!published) continue;
        CHECK(published->epoch >= newest);
        CHECK_EQ(path_of(published->fd.get()), log_number(published->epoch));
        newest = published->epoch;
      }
    });
  for (std::uint32_t epoch = 1; epoch <= kLogs; epoch++)
    publish_log(log_broadcast, open_log(log_number(epoch)).get(), epoch);
  for (Process& reader : readers) CHECK_EQ(reader.wait(), 0);
}

TEST("a new log is published even if no descriptor is free to receive the old one") {
  const LogBroadcast log_broadcast = make_log_broadcast();
  publish_log(log_broadcast, open_log(log_number(1)).get(), 1);
  const Fd second = open_log(log_number(2));
  std::vector<Fd> all;
  for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) all.emplace_back(fd);
  publish_log(log_broadcast, second.get(), 2);
  all.clear();
  const auto published = peek_log(log_broadcast.receive.get());
  CHECK(published.has_value());
  CHECK_EQ(published->epoch, 2);
}

TEST("a message without a descriptor, or of another length, is no log") {
  const LogBroadcast log_broadcast = make_log_broadcast();
  CHECK_EQ(send_with_fd(log_broadcast.publish.get(), "1234", -1, 0), 4);
  CHECK(!peek_log(log_broadcast.receive.get()));
  const LogBroadcast other = make_log_broadcast();
  const Fd log = open_log(log_number(1));
  CHECK_EQ(send_with_fd(other.publish.get(), "123", log.get(), 0), 3);
  CHECK(!peek_log(other.receive.get()));
}

}  // namespace
}  // namespace kilofork
