#include "supervisor/control.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "check.hpp"
#include "process/fd_passing.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;
using check::file;
using check::Process;

std::array<int, 2> make_channel() {
  std::array<int, 2> ends{};
  CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return ends;
}

// The two ends of a control channel, and the supervisor's view of its own.
struct Channel {
  void write(std::string_view bytes, int passed = -1) const {
    CHECK_EQ(send_with_fd(front.get(), bytes, passed, 0), bytes.size());
  }
  std::array<int, 2> ends = make_channel();
  Fd front{ends[0]};
  Fd supervisor{ends[1]};
  Control control{ends[1]};
};

std::vector<std::string> lines_in(Control& control) {
  std::vector<std::string> lines;
  while (auto line = control.read(false)) lines.push_back(line->text);
  return lines;
}

// The lines as one text, to be compared.
std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "|";
  return text;
}

std::string path_of(const Fd& fd) {
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
}

Fd open_file(const std::string& name) {
  Fd fd(::open(file(name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  CHECK(static_cast<bool>(fd));
  return fd;
}

TEST("lines come one at a time, also when several are in one packet") {
  Channel channel;
  CHECK(!channel.control.read(false));
  channel.write("max-line 1024\n\nwork none\nstart\nsto");
  CHECK_EQ(joined(lines_in(channel.control)), "max-line 1024||work none|start|");
  channel.write("p\n");
  CHECK_EQ(joined(lines_in(channel.control)), "stop|");
  CHECK(!channel.control.at_end());
}

TEST("lines may be split at any byte") {
  const std::string text = "max-line 1024\nwork sleep 3\nstart\n";
  for (std::size_t cut = 0; cut <= text.size(); cut++) {
    Channel channel;
    std::string got;
    for (const auto& piece : {text.substr(0, cut), text.substr(cut)}) {
      if (!piece.empty()) channel.write(piece);
      got += joined(lines_in(channel.control));
    }
    CHECK_EQ(got, "max-line 1024|work sleep 3|start|");
  }
}

TEST("a line may be longer than what is read at a time") {
  Channel channel;
  const std::string greeting = "greeting " + std::string(20'000, 'x');
  channel.write(greeting + "\nstart\n");
  CHECK_EQ(joined(lines_in(channel.control)), greeting + "|start|");
}

TEST("a waiting read returns the line when it comes") {
  Channel channel;
  Process front([&] {
    ::usleep(10'000);
    channel.write("sta");
    ::usleep(10'000);
    channel.write("rt\n");
  });
  const auto line = channel.control.read(true);
  CHECK(line.has_value());
  CHECK_EQ(line->text, "start");
  CHECK_EQ(front.wait(), 0);
}

TEST("a descriptor comes with the line that it was sent with") {
  Channel channel;
  const Fd first = open_file("first");
  const Fd second = open_file("second");
  channel.write("start\nsto");
  channel.write("p\n");
  channel.write("log 1\n", first.get());
  channel.write("log 1\n", second.get());
  channel.write("quit\n");
  for (const char* text : {"start", "stop"}) {
    const auto line = channel.control.read(false);
    CHECK_EQ(line->text, text);
    CHECK(!line->passed);
  }
  for (const char* name : {"first", "second"}) {
    const auto line = channel.control.read(false);
    CHECK_EQ(line->text, "log 1");
    CHECK_EQ(path_of(line->passed), file(name));
    CHECK((::fcntl(line->passed.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
  const auto last = channel.control.read(false);
  CHECK_EQ(last->text, "quit");
  CHECK(!last->passed);
  CHECK(!channel.control.read(false));
}

TEST("a descriptor beside the first half of its line is not lost") {
  Channel channel;
  const Fd log = open_file("log");
  channel.write("lo", log.get());
  CHECK(!channel.control.read(false));
  channel.write("g 1\n");
  const auto line = channel.control.read(false);
  CHECK_EQ(line->text, "log 1");
  CHECK_EQ(path_of(line->passed), file("log"));
}

TEST("a descriptor beside a line that brings none is closed with the channel, not leaked") {
  Channel channel;  // check.cpp counts descriptors
  channel.write("stop\n", open_file("stray").get());
  CHECK_EQ(joined(lines_in(channel.control)), "stop|");
}

TEST("the descriptor for the spawn log comes with its line, also between two logs") {
  Channel channel;
  channel.write("log 1\n", open_file("first").get());
  channel.write("spawn-log\n", open_file("second").get());
  channel.write("log 1\n", open_file("third").get());
  for (const auto& [text, name] :
       {std::pair{"log 1", "first"}, {"spawn-log", "second"}, {"log 1", "third"}}) {
    const auto line = channel.control.read(false);
    CHECK_EQ(line->text, text);
    CHECK_EQ(path_of(line->passed), file(name));
  }
}

TEST("a line that only resembles those that bring a descriptor gets none") {
  Channel channel;
  const Fd log = open_file("log");
  channel.write("spawn-logs\nlogs 1\nspawn\nlo", log.get());
  for (const char* text : {"spawn-logs", "logs 1", "spawn"}) {
    const auto line = channel.control.read(false);
    CHECK_EQ(line->text, text);
    CHECK(!line->passed);
  }
  CHECK(!channel.control.read(false));
  channel.write("g 1\n");
  CHECK_EQ(path_of(channel.control.read(false)->passed), file("log"));
}

TEST("the reader is between lines when all that was received has been returned") {
  Channel channel;
  CHECK(channel.control.is_between_lines());
  channel.write("start\nsto");
  CHECK(channel.control.is_between_lines());  // nothing has been read
  CHECK_EQ(channel.control.read(false)->text, "start");
  CHECK(!channel.control.is_between_lines());
  CHECK(!channel.control.read(false));
  CHECK(!channel.control.is_between_lines());
  channel.write("p\nquit\n");
  CHECK_EQ(channel.control.read(false)->text, "stop");
  CHECK(!channel.control.is_between_lines());  // a whole line is there
  CHECK_EQ(channel.control.read(false)->text, "quit");
  CHECK(channel.control.is_between_lines());
  const Fd log = open_file("log");
  channel.write("l", log.get());
  CHECK(!channel.control.read(false));
  channel.write("og 1\n");
  CHECK(!channel.control.is_between_lines());
  CHECK(static_cast<bool>(channel.control.read(false)->passed));
  CHECK(channel.control.is_between_lines());
}

TEST("the reader is not between lines while it holds a descriptor") {
  Channel channel;
  channel.write("stop\n", open_file("stray").get());
  CHECK_EQ(joined(lines_in(channel.control)), "stop|");
  CHECK(!channel.control.is_between_lines());
}

TEST("at the end of file, all lines come first, and half a line never does") {
  Channel channel;
  channel.write("stop\nqui");
  channel.front.reset();
  CHECK(!channel.control.at_end());
  CHECK_EQ(joined(lines_in(channel.control)), "stop|");
  CHECK(channel.control.at_end());
  CHECK(!channel.control.read(true));  // does not wait
}

TEST("what is sent arrives as a line") {
  const Channel channel;
  channel.control.send("up 1000 63000000");
  std::array<char, 100> bytes{};
  const ssize_t got = ::recv(channel.front.get(), bytes.data(), bytes.size(), 0);
  CHECK_EQ(std::string_view(bytes.data(), static_cast<std::size_t>(got)), "up 1000 63000000\n");
}

TEST("a front that does not read, or is gone, neither holds up nor kills the supervisor") {
  Channel channel;
  for (int i = 0; i < 20'000; i++) channel.control.send("fork-failed 11 999");
  channel.front.reset();
  channel.control.send("stopped 0");
}

}  // namespace
}  // namespace kilofork
