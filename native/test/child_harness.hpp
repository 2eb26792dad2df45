// What a child needs around it. The process of the test stands for supervisor and front.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "check.hpp"
#include "child/child.hpp"
#include "child/service.hpp"
#include "client.hpp"
#include "log/append_log.hpp"
#include "log/log_broadcast.hpp"
#include "net/listener.hpp"
#include "process/lockdown.hpp"
#include "sandbox.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork::check {

inline Service make_service(Work work = {.kind = Work::Kind::none, .duration = 0}) {
  return {.work = work,
          .per_request = false,
          .synced = false,
          .max_line = 1024,
          .idle_timeout = 0,
          .read_timeout = 0,
          .write_timeout = kPatience,
          .linger_timeout = kPatience,
          .work_timeout = 0,
          .max_per_address = 0,
          .max_requests = 0,
          .max_requests_jitter = 0,
          .greeting = Template("this is server thread {pid}\n"),
          .reply = Template("server {pid} recvd message \"{message}\" from user {user}\n"),
          .refusals = {"error protocol: not a request\n", "error unauthorized: not a user\n",
                       "error too-long: too long a line\n", "error timeout: too slow\n",
                       "error unavailable: no log\n", "error shutting-down: the server stops\n",
                       "error busy: too many of you\n"}};
}

class ChildHarness {
 public:
  explicit ChildHarness(Service service_of_children = make_service(),
                        const std::string& path = file("log"), std::uint32_t slots = 1)
      : service(std::move(service_of_children)),
        board(Scoreboard::create(segment_name(), slots, 4, {})),
        log(open_log(path)) {
    ::tzset();                        // a child may not open the file of the time zone
    Segment::remove(segment_name());  // the mapping stays
    board.users().replace({"arijort", "foobar"});
  }

  // Forks a child, which runs `prepare` first, and waits until it is idle.
  template <typename Prepare>
  Process fork_child(Prepare prepare) {
    const ChildContext context = make_context();
    Process child([&] {
      front_end.reset();  // so that the child sees when the test closes it
      prepare();
      ChildSignals signals;
      set_up_signals_of_children(signals);
      CHECK(lock_down_children(
          {.removable = segment_path,
           .name = name,
           .waits_for_syncs = service.synced,
           .listener = context.listener,
           .lifeline = context.lifeline,
           .log = context.log,
           .shared = {context.listener, context.log, board.fd(), context.lifeline,
                      context.log_broadcast, context.wakeup}}));
      run_child(context, slot(), slot().word);
    });
    CHECK(holds_in_time([this] {
      std::uint64_t wakeups = 0;
      return ::read(wakeup.get(), &wakeups, sizeof wakeups) > 0;
    }));
    return child;
  }
  Process fork_child() {
    return fork_child([] {});
  }

  // The parent of the child is the process that calls this.
  ChildContext make_context() {
    memory.resize(child_memory_bytes(service));
    return {.service = service,
            .scoreboard = board,
            .segment_path = segment_path,
            .name = name,
            .supervisor = ::getpid(),
            .listener = listener.fd.get(),
            .log = log.get(),
            .log_epoch = board.header().log_epoch.load(),
            .lifeline = lifeline_end.get(),
            .front = -1,
            .log_broadcast = log_broadcast.receive.get(),
            .wakeup = wakeup.get(),
            .memory = memory.data()};
  }

  [[nodiscard]] Slot& slot() const { return board.slots()[0]; }
  [[nodiscard]] std::uint16_t port() const { return listener.port; }
  [[nodiscard]] bool reaches(State state) const {
    return holds_in_time([&] { return slot().occupancy().state == state; });
  }
  [[nodiscard]] std::uint64_t refused(Refusal refusal) const {
    return slot().refused.at(static_cast<std::size_t>(refusal));
  }
  // The next connection that no child has accepted, if there is one.
  [[nodiscard]] Fd accept_left_over() const {
    pollfd queue{.fd = listener.fd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&queue, 1, 0) <= 0) return Fd();
    return Fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  // The texts of the records, without their times.
  [[nodiscard]] static std::vector<std::string> records(const std::string& path = file("log")) {
    std::vector<std::string> texts;
    for (const auto& line : read_lines(path)) {
      CHECK_EQ(line.substr(RecordTime::kLength, 4), " -- ");
      texts.push_back(line.substr(RecordTime::kLength + 4));
    }
    return texts;
  }

  Service service;
  const char* const segment_path = keep_read_only(file("segment"));
  const char* const name = keep_read_only("kilofork-child");
  Scoreboard board;
  Fd log;
  Listener listener = listen_on(
      {.endpoint = {"127.0.0.1", 0}, .backlog = 64, .write_timeout = service.write_timeout});
  LogBroadcast log_broadcast = make_log_broadcast();
  Fd wakeup{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Fd front_end;
  Fd lifeline_end = make_lifeline(front_end);
  std::vector<char> memory;

 private:
  static Fd make_lifeline(Fd& front) {
    std::array<int, 2> ends{};
    CHECK_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    front.reset(ends[0]);
    return Fd(ends[1]);
  }
};

inline std::string greeting_of(const Process& child) {
  return "this is server thread " + std::to_string(child.pid());
}
inline std::string reply_of(const Process& child, const std::string& message,
                            const std::string& user = "arijort") {
  return "server " + std::to_string(child.pid()) + " recvd message \"" + message + "\" from user " +
         user;
}
inline bool exited(int status, int code) {
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

}  // namespace kilofork::check
