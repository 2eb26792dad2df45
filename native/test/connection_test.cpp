// The connection of a client, without the child around it.
#include "child/connection.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "child_harness.hpp"
#include "client.hpp"
#include "net/listener.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::kPatience;
using check::make_service;
using check::Process;
using check::TestClient;
using Got = Connection::Got;

// A client, and the connection that a child has with it.
struct ConnectionHarness {
  explicit ConnectionHarness(int receive_buffer_of_client = 0)
      : client(listener.port, receive_buffer_of_client),
        fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC)) {
    CHECK(fd.get() >= 0);
  }

  Service service = make_service();
  Listener listener = listen_on(
      {.endpoint = {"127.0.0.1", 0}, .backlog = 1, .write_timeout = service.write_timeout});
  TestClient client;
  Fd fd;
  // In memory that forked processes share, since a process stands for a signal handler.
  volatile sig_atomic_t& stopping =
      *new (::mmap(nullptr, sizeof(sig_atomic_t), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0)) sig_atomic_t(0);
  std::vector<char> input = std::vector<char>(Connection::input_bytes(service));
  Connection connection{fd.get(), service, input, stopping};
};

TEST("an end of file that a stop makes does not complete a line") {
  for (const char* sent : {"arijort:half a line", ""}) {
    ConnectionHarness harness;
    harness.client.send(sent);
    Process stop([&] {
      const auto has_been_read = [&] {
        int unread = 1;
        return ::ioctl(harness.fd.get(), FIONREAD, &unread) == 0 && unread == 0;
      };
      CHECK(check::holds_in_time(has_been_read));
      harness.stopping = 1;
      ::shutdown(harness.fd.get(), SHUT_RD);
    });
    CHECK(harness.connection.next_line() == Got::stopped);
    CHECK_EQ(stop.wait(), 0);
  }
}

// Turns of one connection, as by different children.
struct Turns : ConnectionHarness {
  Turns() { service.per_request = true; }
  // Returns its fate and the number of its lines.
  std::pair<Fate, std::size_t> turn() {
    Connection turn(fd.get(), service, input, stopping, held);
    std::size_t lines = 0;
    while ((last = turn.next_line()) == Got::line) lines++;
    const std::span<const char> rest = turn.unanswered();
    held = rest.size();
    std::copy(rest.begin(), rest.end(), input.begin());
    return {turn.fate(), lines};
  }
  std::size_t held = 0;
  Got last = Got::line;
};

TEST("a turn has a bounded number of lines; the next ones go on until all that has come is read") {
  Turns turns;
  const std::size_t most = turns.service.most_at_a_time();
  // The first read fills the input with lines for two turns exactly.
  const std::size_t length = turns.input.size() / (2 * most);
  CHECK_EQ(length * 2 * most, turns.input.size());
  std::string sent;
  while (sent.size() < turns.input.size()) sent += std::string(length - 1, 'x') + '\n';
  turns.client.send(sent + "end\n");
  CHECK(check::holds_in_time([&] {
    int unread = 0;
    return ::ioctl(turns.fd.get(), FIONREAD, &unread) == 0 &&
           static_cast<std::size_t>(unread) == sent.size() + 4;
  }));
  std::size_t lines = 0;
  Fate fate = Fate::more;
  while (fate == Fate::more) {
    const auto [next, count] = turns.turn();
    CHECK(count <= most);
    lines += count;
    fate = next;
  }
  CHECK(fate == Fate::kept);
  CHECK_EQ(lines, static_cast<std::size_t>(std::count(sent.begin(), sent.end(), '\n')) + 1);
}

TEST("a line that is too long is refused also if the lines before it have filled a turn") {
  Turns turns;
  std::string sent;
  for (std::size_t i = 0; i < turns.service.most_at_a_time(); i++) sent += "x\n";
  turns.client.send(sent + std::string(turns.service.max_line, 'x'));
  CHECK(check::holds_in_time([&] {
    int unread = 0;
    return ::ioctl(turns.fd.get(), FIONREAD, &unread) == 0 &&
           static_cast<std::size_t>(unread) == sent.size() + turns.service.max_line;
  }));
  CHECK(turns.turn().first == Fate::more);
  turns.turn();
  CHECK(turns.last == Got::too_long);
}

TEST("a turn that has found nothing keeps the connection") {
  Turns turns;
  CHECK(turns.turn() == std::pair(Fate::kept, std::size_t{0}));
}

TEST("an end of file that the client makes completes a line") {
  ConnectionHarness harness;
  harness.client.send("arijort:a line");
  harness.client.end_sending();
  CHECK(harness.connection.next_line() == Got::last_line);
  CHECK_EQ(harness.connection.line(), "arijort:a line");
  CHECK(harness.connection.next_line() == Got::end);
}

TEST(
    "a client that reads late can read all that was sent, also if not all of its bytes were read") {
  constexpr int kSmall = 4096;
  ConnectionHarness harness(kSmall);
  harness.client.send("never read");
  const std::string text(300'000, 'x');
  const Process server([&] {
    CHECK(harness.connection.send(text));
    harness.connection.linger(kPatience);
  });
  harness.fd.reset();
  pollfd reset{.fd = harness.client.fd(), .events = 0, .revents = 0};
  ::poll(&reset, 1, 50);  // gives a server that does not linger the time to reset the connection
  CHECK_EQ(harness.client.rest().size(), text.size());
}

}  // namespace
}  // namespace kilofork
