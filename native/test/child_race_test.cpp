// Races between an order and a client: a child gets a signal at any moment while a client connects.
// The client is served, refused, or left in the accept queue; never accepted and dropped.
#include <signal.h>

#include <random>

#include "check.hpp"
#include "child_harness.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::exited;
using check::Process;
using check::TestClient;

#ifdef __SANITIZE_ADDRESS__
constexpr int kRounds = 300;  // a fork is slow there
#else
constexpr int kRounds = 2000;
#endif

struct Outcomes {
  int served = 0;
  int refused = 0;
  int left_over = 0;
};

// Waits for less time than a sleep would take.
void spin(Nanoseconds duration) {
  const Nanoseconds until = monotonic_now() + duration;
  while (monotonic_now() < until) continue;
}

// One child gets one client and one signal.
void run_round(ChildHarness& harness, int signal, Nanoseconds delay, Outcomes& outcomes) {
  Process child = harness.fork_child();
  const bool connects_first = delay >= 0;
  if (!connects_first) {
    child.signal(signal);
    spin(-delay);
  }
  TestClient client(harness.port());
  // The child may have refused the client and closed the connection.
  (void)::send(client.fd(), "arijort:lalala\n", 15, MSG_NOSIGNAL);
  (void)::shutdown(client.fd(), SHUT_WR);
  if (connects_first) {
    spin(delay);
    child.signal(signal);
  }
  CHECK(exited(child.wait(), kExitOrdered));

  const Fd left_over = harness.accept_left_over();
  if (left_over) {
    CHECK(client.is_silent());
    outcomes.left_over++;
    return;
  }
  const std::string got = client.rest();
  const std::string served =
      check::greeting_of(child) + "\n" + check::reply_of(child, "lalala") + "\n";
  if (got == served)
    outcomes.served++;
  else if (got.ends_with(
               harness.service.refusals.at(static_cast<std::size_t>(Refusal::shutting_down))))
    outcomes.refused++;
  else
    check::fail_at(__FILE__, __LINE__, "accepted and dropped: " + check::quote(got));
}

Outcomes race(int signal) {
  std::mt19937 random(static_cast<unsigned>(signal));
  std::uniform_int_distribution<Nanoseconds> delays(-30 * kMicrosecond, 150 * kMicrosecond);
  ChildHarness harness;
  Outcomes outcomes;
  for (int i = 0; i < kRounds; i++) run_round(harness, signal, delays(random), outcomes);
  CHECK_EQ(harness.slot().total.load(), outcomes.served);
  return outcomes;
}

TEST("a child that retires while a client connects serves it or leaves it in the queue") {
  const Outcomes outcomes = race(SIGTERM);
  CHECK_EQ(outcomes.refused, 0);
  std::printf("    served %d, left in the queue %d\n", outcomes.served, outcomes.left_over);
}

TEST("a child that stops while a client connects answers it or leaves it in the queue") {
  const Outcomes outcomes = race(SIGUSR2);
  std::printf("    served %d, refused %d, left in the queue %d\n", outcomes.served,
              outcomes.refused, outcomes.left_over);
}

TEST("an order just before accept() is not lost, although no client connects any more") {
  std::mt19937 random(17);
  std::uniform_int_distribution<Nanoseconds> delays(0, 5 * kMicrosecond);
  ChildHarness harness;
  for (int i = 0; i < kRounds; i++) {
    Process child = harness.fork_child();
    spin(delays(random));
    child.signal(i % 2 == 0 ? SIGTERM : SIGUSR2);
    CHECK(exited(child.wait(), kExitOrdered));
  }
}

TEST("a stop just before recv() is not lost, and does not complete a partial line") {
  std::mt19937 random(17);
  std::uniform_int_distribution<Nanoseconds> delays(0, 60 * kMicrosecond);
  Service service = check::make_service();
  // Two different time-outs, since the race is lost most often while a child sets them.
  service.idle_timeout = 3600 * kSecond;
  service.read_timeout = 1800 * kSecond;
  ChildHarness harness(service);
  for (int i = 0; i < kRounds; i++) {
    Process child = harness.fork_child();
    TestClient client(harness.port());
    if (i % 4 != 0) client.send("arijort:half a line");
    spin(delays(random));
    child.signal(SIGUSR2);
    // The client closes at once; otherwise the kernel would delay its acknowledgement.
    CHECK(check::holds_in_time([&] { return client.has_ended() || child.has_ended(); }));
    if (client.has_ended()) client.end_sending();
    CHECK(exited(child.wait(), kExitOrdered));
    if (harness.accept_left_over()) continue;
    CHECK(client.rest().find("recvd") == std::string::npos);
  }
  CHECK_EQ(harness.slot().total.load(), 0);
}

TEST("SIGUSR1 at any moment, also just before accept(), makes a child adopt the reopened log") {
  ChildHarness harness;
  const Process child = harness.fork_child();
  auto& newest = harness.board.header().log_epoch;
  for (std::uint32_t epoch = 1; epoch <= kRounds * 5; epoch++) {
    publish_log(harness.log_broadcast, harness.log.get(), epoch);
    newest = epoch;
    child.signal(SIGUSR1);
    CHECK(check::holds_in_time([&] { return harness.slot().log_epoch == epoch; }));
  }
}

}  // namespace
}  // namespace kilofork
