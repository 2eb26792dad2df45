// The log writer: copies the spool to a reader that reads, stalls, or is gone.
#include "log/log_writer.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>

#include "check.hpp"
#include "log/append_log.hpp"
#include "log/spool.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::file;
using check::holds_in_time;
using check::Process;
using check::segment_name;

struct Harness {
  explicit Harness(bool socket = false) {
    std::array<int, 2> ends{};
    if (socket) {
      CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    } else {
      CHECK_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    }
    theirs.reset(ends[0]);
    shared.reset(ends[1]);
    reader = open_reader(shared.get());
    Segment::remove(segment_name());
  }
  Process start(Nanoseconds patience = kNever, off_t most_waiting = 1 << 30) {
    const pid_t parent = ::getpid();
    return Process([=, this] {
      run_log_writer({.scoreboard = board,
                      .supervisor = parent,
                      .spool = spool.get(),
                      .reader = reader.get(),
                      .wakeup = wakeup.get(),
                      .patience = patience,
                      .most_waiting = most_waiting});
    });
  }
  void append(const std::string& text) const {
    CHECK_EQ(::write(spool.get(), text.data(), text.size()), text.size());
  }
  // What the reader is given until it has so many bytes.
  std::string read(std::size_t most) const {
    std::string text(most, '\0');
    std::size_t got = 0;
    while (got < most) {
      const ssize_t more = ::read(theirs.get(), text.data() + got, most - got);
      CHECK(more > 0);
      got += static_cast<std::size_t>(more);
    }
    return text;
  }
  bool has_more() const {
    pollfd polled{.fd = theirs.get(), .events = POLLIN, .revents = 0};
    return ::poll(&polled, 1, 0) > 0 && (polled.revents & POLLIN) != 0;
  }
  // True if the reader was given all that was appended before.
  bool sync() {
    const std::uint32_t number = header.commit.join();
    header.commit.wait(number);
    return header.commit.has_covered(number);
  }

  Scoreboard board = Scoreboard::create(segment_name(), 1, 4, {});
  Header& header = board.header();
  Fd spool = make_spool();
  Fd theirs;
  Fd shared;
  Fd reader;
  Fd wakeup{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

// More than a pipe or a socket holds.
std::string much() {
  std::string text;
  while (text.size() < 8 << 20) text.append(4150, 'x').append("\n");
  return text;
}

TEST("a pipe, a socket and a terminal need a spool; a file and /dev/null do not") {
  Harness pipe;
  Harness socket(true);
  const Fd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  CHECK(needs_spool(pipe.shared.get()) && needs_spool(socket.shared.get()));
  CHECK(needs_spool(terminal.get()));
  CHECK(!needs_spool(open_log(file("log")).get()));
  CHECK(!needs_spool(Fd(::open("/dev/null", O_WRONLY | O_CLOEXEC)).get()));
}

TEST("no flag of a descriptor that others share is changed") {
  for (const bool socket : {false, true}) {
    Harness harness(socket);
    CHECK_EQ(::fcntl(harness.shared.get(), F_GETFL) & O_NONBLOCK, 0);
  }
}

TEST("the reader is given whole records, and also those that nobody waits for") {
  for (const bool socket : {false, true}) {
    Harness harness(socket);
    Process writer = harness.start();
    harness.append("one\nhalf");
    CHECK_EQ(harness.read(4), "one\n");
    CHECK(harness.sync());
    CHECK(!harness.has_more());
    harness.append(" is whole\n");
    CHECK(harness.sync());
    CHECK_EQ(harness.read(14), "half is whole\n");
  }
}

TEST("much that a slow reader takes in parts arrives as it was, and its memory is given back") {
  for (const bool socket : {false, true}) {
    Harness harness(socket);
    const std::string text = much();
    harness.append(text);
    Process writer = harness.start();
    CHECK(harness.read(text.size()) == text);
    CHECK(harness.sync());
    const auto held = [&] {
      struct stat status {};
      CHECK_EQ(::fstat(harness.spool.get(), &status), 0);
      return status.st_blocks * 512;
    };
    CHECK(holds_in_time([&] { return held() <= 2 << 20; }));
  }
}

TEST("a writer that is killed at any time is followed by one that repeats and loses nothing") {
  Harness harness;
  const std::string text = much();
  harness.append(text);
  std::string got;
  for (int i = 0; i < 50; i++) {
    Process writer = harness.start();
    got += harness.read(text.size() / 64);
    writer.signal(SIGKILL);
    (void)writer.wait();
  }
  Process last = harness.start();
  CHECK(got + harness.read(text.size() - got.size()) == text);
  CHECK(harness.sync());
  CHECK(!harness.has_more());
}

TEST("a reader that stalls fails syncs and has requests refused until it reads again") {
  Harness harness;
  const std::string text = much();
  harness.append(text);
  Process writer = harness.start(kMillisecond);
  CHECK(!harness.sync());
  CHECK_EQ(harness.header.log_refused.load(), ETIMEDOUT);
  CHECK_EQ(harness.header.log_error.load(), ETIMEDOUT);
  CHECK(harness.header.spool.stalled_since > 0 && harness.header.spool.waiting > 0);
  CHECK(!harness.header.commit.is_dead(0));
  CHECK(harness.read(text.size()) == text);
  CHECK(holds_in_time([&] { return harness.header.log_refused == 0; }));
  CHECK(harness.sync());
  CHECK_EQ(harness.header.spool.stalled_since.load(), 0);
}

TEST("if too much waits, requests are refused, and those that wait are not") {
  constexpr off_t kMost = 4096;
  Harness harness;
  const std::string text = much();
  harness.append(text);
  Process writer = harness.start(kNever, kMost);
  const std::uint32_t sync = harness.header.commit.join();
  CHECK(holds_in_time([&] { return harness.header.log_refused == ENOBUFS; }));
  CHECK(harness.read(text.size()) == text);
  harness.header.commit.wait(sync);
  CHECK(harness.header.commit.has_covered(sync));
  CHECK(holds_in_time([&] { return harness.header.log_refused == 0; }));
}

TEST("a reader that is gone fails syncs, and wakes the supervisor once") {
  for (const bool socket : {false, true}) {
    Harness harness(socket);
    harness.theirs.reset();
    harness.append("one\n");
    Process writer = harness.start();
    for (int i = 0; i < 3; i++) CHECK(!harness.sync());
    CHECK_EQ(harness.header.log_refused.load(), EPIPE);
    std::uint64_t wakeups = 0;
    CHECK_EQ(::read(harness.wakeup.get(), &wakeups, sizeof wakeups), sizeof wakeups);
    CHECK_EQ(wakeups, 1);
  }
}

TEST("a writer that is told to leave does so, also while the reader takes nothing") {
  for (const bool full : {false, true}) {
    Harness harness;
    harness.append(full ? much() : "one\n");
    Process writer = harness.start();
    CHECK(holds_in_time([&] {
      return full ? harness.header.spool.stalled_since > 0 : harness.header.commit.syncs() > 0;
    }));
    writer.signal(SIGTERM);
    const int status = writer.wait();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

}  // namespace
}  // namespace kilofork
