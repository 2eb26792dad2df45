// The load engine against correct servers, and its schedules. Faulty servers are in
// load_failures_test.cpp.
#include "load/load_engine.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <set>

#include "check.hpp"
#include "load_harness.hpp"
#include "refused_call.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::Conversation;
using check::Load;
using check::load_options;
using check::ScriptedServer;

void serve(Conversation& with) {
  with.serve();
}

// A server that keeps the lines that it gets.
struct NotingServer {
  std::set<std::string> lines() {
    const std::lock_guard lock(mutex);
    return noted;
  }
  std::mutex mutex;
  std::set<std::string> noted;
  ScriptedServer server{[this](Conversation& with) {
    with.greet();
    for (std::string request; !(request = with.line()).empty();) {
      {
        const std::lock_guard lock(mutex);
        noted.insert(request);
      }
      with.send(with.reply(request));
    }
  }};
};

#ifndef KILOFORK_UNFILTERED
TEST("without epoll_pwait2(2), whatever its error, the load is the same, and the client waits") {
  ScriptedServer server(serve);
  for (const int error : {ENOSYS, EINVAL, EPERM}) {
    check::Process client([&] {
      check::refuse_call(SYS_epoll_pwait2, error);
      LoadOptions options = load_options(server.port(), 5, 4);
      options.interval = 10 * kMillisecond;
      Load load(std::move(options));
      load.run();
      load.check(20, 20);
      rusage used{};
      CHECK_EQ(::getrusage(RUSAGE_SELF, &used), 0);
      CHECK(used.ru_nvcsw >= 15);  // it slept before the sends that were not due
    });
    CHECK_EQ(client.wait(), 0);
  }
}
#endif

TEST("right replies are verified, counted and timed") {
  ScriptedServer server(serve);
  Load load(load_options(server.port(), 20, 5));
  const Nanoseconds before = monotonic_now();
  load.run();
  const Nanoseconds after = monotonic_now();
  load.check(100, 100);
  const auto& counts = load.counts();
  CHECK_EQ(counts.connections, 20);
  CHECK_EQ(counts.greeted, 20);
  CHECK_EQ(counts.settled, 20);
  CHECK_EQ(load.connects.size(), 20);
  CHECK_EQ(server.connections(), 20);
  CHECK_EQ(load.in_flight.greeters(), 20);
  CHECK(before <= counts.first_connect && counts.first_connect <= counts.first_send);
  CHECK(counts.first_send <= counts.last_reply && counts.last_reply <= after);
  for (const auto& times : {load.connects, load.replies})
    for (const Nanoseconds time : times) CHECK(time > 0 && time <= after - before);
  CHECK_EQ(load.engine.server().address_text(), "127.0.0.1");
}

TEST("a client's number is in its message; with several requests, the request's number follows") {
  NotingServer once;
  LoadOptions options = load_options(once.server.port(), 3, 1);
  options.first_number = 17;
  Load one(options);
  one.run();
  one.check(3, 3);
  CHECK(once.lines() ==
        std::set<std::string>({"arijort:lalala 17", "arijort:lalala 18", "arijort:lalala 19"}));

  NotingServer twice;
  Load two(load_options(twice.server.port(), 2, 2));
  two.run();
  two.check(4, 4);
  CHECK(twice.lines() == std::set<std::string>({"arijort:lalala 1.1", "arijort:lalala 1.2",
                                                "arijort:lalala 2.1", "arijort:lalala 2.2"}));
}

TEST("greeting and reply may come byte by byte") {
  ScriptedServer server([](Conversation& with) {
    with.send_each_byte(with.greeting());
    for (std::string request; !(request = with.line()).empty();)
      with.send_each_byte(with.reply(request));
  });
  Load load(load_options(server.port(), 2, 2));
  load.run();
  load.check(4, 4);
  CHECK_EQ(load.in_flight.greeters(), 2);
}

TEST("a greeting may hold its pid anywhere, or not at all") {
  ScriptedServer server([](Conversation& with) {
    with.send("hello\n");
    with.send("bye " + with.line() + "\n");
  });
  LoadOptions options = load_options(server.port(), 2, 1);
  options.greeting = Template("hello\n");
  options.reply = Template("bye arijort:lalala {n}\n");
  Load load(options);
  load.run();
  load.check(2, 2);

  ScriptedServer other([](Conversation& with) {
    with.send_each_byte(with.pid() + " greets, 17 of 18\n");
    with.send(with.reply(with.line()));
  });
  options = load_options(other.port(), 2, 1);
  options.greeting = Template("{pid} greets, 17 of 18\n");
  Load first(options);
  first.run();
  first.check(2, 2);
}

TEST("a request that is larger than any buffer arrives whole") {
  const std::string long_text(8'000'000, 'x');
  ScriptedServer server([&](Conversation& with) {
    with.greet();
    ::usleep(20'000);  // long enough for the buffers to fill
    while (with.line() == long_text) with.send("yes\n");
  });
  LoadOptions options = load_options(server.port(), 2, 2);
  options.request = Template(long_text + "\n");
  options.reply = Template("yes\n");
  Load load(options);
  load.run();
  load.check(4, 4);
}

TEST("a reply that is larger than any buffer is verified whole") {
  const std::string long_text(3'000'000, 'x');
  ScriptedServer server([&](Conversation& with) {
    with.greet();
    while (!with.line().empty()) with.send(long_text + with.pid() + "\n");
  });
  LoadOptions options = load_options(server.port(), 2, 2);
  options.reply = Template(long_text + "{pid}\n");
  Load load(options);
  load.run();
  load.check(4, 4);
}

TEST("a reply may end with the end of file instead of its newline") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    const std::string reply = with.reply(with.line());
    with.send(reply.substr(0, reply.size() - 1));
  });
  Load load(load_options(server.port(), 5, 1));
  load.run();
  load.check(5, 5);
}

TEST("after a reply that ended with the end of file, a client reconnects for the rest") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    const std::string reply = with.reply(with.line());
    with.send(reply.substr(0, reply.size() - 1));
  });
  Load load(load_options(server.port(), 1, 4));
  load.run();
  load.check(4, 4);
  CHECK_EQ(server.connections(), 4);
}

TEST("no client sends before the barrier opens, and then all are in flight at once") {
  constexpr std::uint32_t kClients = 30;
  std::atomic<std::uint32_t> waiting = 0;
  std::atomic<int> requests = 0;
  ScriptedServer server([&](Conversation& with) {
    with.greet();
    const std::string request = with.line();
    requests++;
    for (waiting++; waiting < kClients;) ::usleep(100);  // the last one lets all go
    with.send(with.reply(request));
  });
  LoadOptions options = load_options(server.port(), kClients, 1);
  options.barrier = true;
  Load load(options);
  load.run_until([&] { return load.counts().greeted == kClients; });
  for (int i = 0; i < 5; i++) CHECK(!load.step());
  CHECK_EQ(load.counts().sent + static_cast<std::uint64_t>(requests), 0);
  CHECK_EQ(load.counts().settled, kClients);
  load.engine.release();
  load.engine.release();  // a second time, it does nothing
  load.run();
  load.check(kClients, kClients);
  const InFlight::Peak peak = load.in_flight.peak();
  CHECK_EQ(peak.requests, kClients);
  CHECK_EQ(peak.pids, kClients);
  CHECK(peak.from < peak.until);
}

TEST("a client whose connection ends at the barrier has lost no request, and reconnects") {
  ScriptedServer server([](Conversation& with) {
    if (with.number() == 1) return with.greet();
    with.serve();
  });
  LoadOptions options = load_options(server.port(), 1, 1);
  options.barrier = true;
  Load load(options);
  load.run_until([&] { return load.counts().connections == 2; });
  CHECK_EQ(load.counts().greeted, 1);
  load.engine.release();
  load.run();
  load.check(1, 1);
}

TEST("of several addresses, the first that answers is used, and the others are not tried again") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    with.line();  // and closes
  });
  ScriptedServer unwilling([](Conversation& with) { with.reset(); }, "127.0.0.2", server.port());
  LoadOptions options = load_options(server.port(), 10, 2);
  options.ramp_step = 20 * kMillisecond;
  options.servers.clear();
  for (const char* address : {"127.0.0.2", "127.0.0.3", "127.0.0.1"})  // none listens on the second
    options.servers.emplace_back(address, server.port());
  Load load(options);
  load.run();
  load.check(20, 0, 20, Failure::lost);
  CHECK_EQ(load.engine.server().address_text(), "127.0.0.1");
  CHECK_EQ(server.connections(), 20);
  CHECK(unwilling.connections() < 10);  // the first few
}

TEST("with `from`, every connection comes from that address") {
  std::mutex mutex;
  std::multiset<std::string> peers;
  ScriptedServer server([&](Conversation& with) {
    {
      const std::lock_guard lock(mutex);
      peers.insert(with.peer());
    }
    with.serve();
  });
  LoadOptions options = load_options(server.port(), 5, 2);
  options.from.emplace("127.0.0.7", 0);
  options.reconnect = true;
  Load load(options);
  load.run();
  load.check(10, 10);
  CHECK_EQ(peers.count("127.0.0.7"), 10);
  CHECK_EQ(peers.size(), 10);
}

TEST("a `from` that this machine does not have is a failed connect, with its reason") {
  ScriptedServer server(serve);
  LoadOptions options = load_options(server.port(), 3, 1);
  options.from.emplace("192.0.2.1", 0);
  Load load(options);
  load.run();
  load.check(0, 0, 3);
  CHECK_EQ(load.failures(Failure::connect).first_detail,
           "Cannot assign requested address: no address of this machine, or it has no port left");
  CHECK_EQ(server.connections(), 0);
}

TEST("with a window, no more clients than its size wait for their first greeting") {
  constexpr std::uint32_t kWindow = 3;
  std::atomic<bool> greets = false;
  std::atomic<std::uint32_t> waiting = 0;
  std::atomic<std::uint32_t> most = 0;
  ScriptedServer server([&](Conversation& with) {
    waiting++;
    if (waiting > most) most = waiting.load();
    while (!greets) ::usleep(100);
    waiting--;  // before the greeting, which makes room
    with.serve();
  });
  LoadOptions options = load_options(server.port(), 20, 1);
  options.window = kWindow;
  Load load(options);
  load.run_until([&] { return waiting == kWindow; });
  for (int i = 0; i < 5; i++) CHECK(!load.step());
  CHECK_EQ(server.connections(), kWindow);
  greets = true;
  load.run();
  load.check(20, 20);
  CHECK_EQ(most.load(), kWindow);
}

TEST("clients that are never greeted leave the window to the next") {
  ScriptedServer server([](Conversation& with) {
    if (with.number() <= 2) return with.wait_for_end();
    with.serve();
  });
  LoadOptions options = load_options(server.port(), 6, 1);
  options.window = 2;
  options.connect_timeout = 50 * kMillisecond;
  Load load(options);
  load.run();
  load.check(4, 4, 2, Failure::ungreeted);
}

TEST("with a duration, no request is sent after it, and replies are still awaited") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    for (std::string request; !(request = with.line()).empty();) {
      ::usleep(1000);
      with.send(with.reply(request));
    }
  });
  LoadOptions options = load_options(server.port(), 4, 0);
  options.duration = 300 * kMillisecond;
  Load load(options);
  load.run();
  CHECK(load.counts().sent >= 1);
  load.check(load.counts().sent, load.counts().sent);
}

TEST("an open loop sends by its schedule, not by the replies") {
  ScriptedServer server(serve);
  LoadOptions options = load_options(server.port(), 8, 5);
  options.interval = 2 * kMillisecond;
  Load load(options);
  const Nanoseconds before = monotonic_now();
  load.run();
  load.check(40, 40);
  CHECK(load.counts().last_reply - before >= 39 * options.interval);
}

TEST("in an open loop, the delay of a late send is a part of its latency") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    for (std::string request; !(request = with.line()).empty();) {
      ::usleep(20'000);
      with.send(with.reply(request));
    }
  });
  LoadOptions options = load_options(server.port(), 1, 5);  // due at 0, 1, 2, 3 and 4 ms
  options.interval = kMillisecond;
  Load load(options);
  load.run();
  load.check(5, 5);
  for (std::size_t i = 0; i < load.replies.size(); i++)
    CHECK(load.replies[i] >= static_cast<Nanoseconds>(i + 1) * 20 * kMillisecond -
                                 static_cast<Nanoseconds>(i) * options.interval);
}

TEST("an open loop that sends too little has failed by what fell due and was not sent") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    for (std::string request; !(request = with.line()).empty();) {
      ::usleep(100'000);
      with.send(with.reply(request));
    }
  });
  LoadOptions options = load_options(server.port(), 1, 0);
  options.interval = 10 * kMillisecond;
  options.duration = 250 * kMillisecond;  // 25 fall due
  Load load(options);
  load.run();
  const std::uint64_t sent = load.counts().sent;
  CHECK(sent >= 1 && sent <= 3);
  load.check(sent, sent);
  const OverdueSends overdue = load.engine.end();
  CHECK_EQ(overdue.count, 25 - sent);
  load.check(sent, sent, overdue.count, Failure::overdue);
  CHECK_EQ(load.failures(Failure::overdue).first_client, 0);
  CHECK_EQ(overdue.waited.size(), overdue.count);
  CHECK_EQ(overdue.waited.front(),
           options.duration - static_cast<Nanoseconds>(sent) * options.interval);
  CHECK_EQ(overdue.waited.back(), 10 * kMillisecond);
}

TEST("a million overdue sends are few samples") {
  ScriptedServer server([](Conversation& with) { with.wait_for_end(); });
  LoadOptions options = load_options(server.port(), 1, 0);
  options.interval = kMicrosecond / 10;
  options.duration = 100 * kMillisecond;
  options.connect_timeout = 200 * kMillisecond;
  Load load(options);
  load.run();
  const OverdueSends overdue = load.engine.end();
  CHECK_EQ(overdue.count, 1'000'000);
  CHECK_EQ(overdue.waited.size(), 1000);
  CHECK_EQ(overdue.lag.size(), 1000);
}

TEST("with a number of requests, no more are overdue than clients have left") {
  ScriptedServer server([](Conversation& with) {
    if (with.number() == 1) return with.serve();
    with.greet();
    with.line();
    with.wait_for_end();
  });
  LoadOptions options = load_options(server.port(), 2, 3);
  options.interval = kMillisecond;
  Load load(options);
  load.run_until([&] { return load.counts().verified == 3; });
  load.run_until([&] { return load.counts().sent == 4; });
  CHECK_EQ(load.engine.end().count, 2);  // of the client that waits for its first reply
}

TEST("nothing is overdue in a closed loop, or before the barrier opens") {
  ScriptedServer server(serve);
  LoadOptions options = load_options(server.port(), 1, 1);
  Load closed(options);
  closed.run();
  CHECK_EQ(closed.engine.end().count, 0);

  options.interval = kMillisecond;
  options.barrier = true;
  Load barred(options);
  barred.run_until([&] { return barred.counts().greeted == 1; });
  CHECK_EQ(barred.engine.end().count, 0);
}

TEST("an engine that does not run for a time has that lag in each send that is late by it") {
  ScriptedServer server(serve);
  LoadOptions options = load_options(server.port(), 1, 30);
  options.interval = 10 * kMillisecond;
  Load load(options);
  load.run_until([&] { return load.counts().sent >= 2; });
  ::usleep(200'000);
  load.run();
  load.check(30, 30);
  // Some 20 fell due meanwhile, and only one client sends them; the others are late for that.
  const auto late = std::count_if(load.lags.begin(), load.lags.end(),
                                  [](Nanoseconds lag) { return lag >= 50 * kMillisecond; });
  CHECK(late >= 14);
  CHECK(*std::max_element(load.lags.begin(), load.lags.end()) >= 180 * kMillisecond);
}

TEST("what an engine that does not run leaves unsent is its lag") {
  ScriptedServer server(serve);
  LoadOptions options = load_options(server.port(), 1, 0);
  options.interval = 10 * kMillisecond;
  options.duration = 400 * kMillisecond;
  Load load(options);
  load.run_until([&] { return load.counts().sent == 2; });
  ::usleep(500'000);
  load.run();
  const OverdueSends overdue = load.engine.end();
  CHECK(overdue.count >= 30);
  for (std::size_t i = 0; i < overdue.lag.size(); i++)
    CHECK(overdue.lag[i] > overdue.waited[i] - 30 * kMillisecond);
}

TEST("an open loop ends with its duration, also for clients that wait for the schedule") {
  ScriptedServer server(serve);
  LoadOptions options = load_options(server.port(), 5, 0);
  options.interval = 50 * kMillisecond;
  options.duration = 290 * kMillisecond;
  Load load(options);
  load.run();
  CHECK(load.counts().sent >= 1 && load.counts().sent <= 6);
  load.check(load.counts().sent, load.counts().sent);
}

TEST("a step takes about its time, however little happens") {
  ScriptedServer server([](Conversation& with) { with.wait_for_end(); });
  Load load(load_options(server.port()));
  const Nanoseconds before = monotonic_now();
  for (int i = 0; i < 4; i++) CHECK(!load.step());
  CHECK(monotonic_now() - before >= 4 * 5 * kMillisecond);
}

TEST("without clients, the engine is done at once") {
  Load load(load_options(1, 0));
  CHECK(load.step());
  load.check(0, 0);
}

}  // namespace
}  // namespace kilofork
