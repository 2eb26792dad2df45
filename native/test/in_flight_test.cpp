#include "load/in_flight.hpp"

#include <thread>
#include <vector>

#include "check.hpp"

namespace kilofork {
namespace {

void check_peak(InFlight& in_flight, std::uint32_t requests, std::uint32_t pids, Nanoseconds from,
                Nanoseconds until) {
  const InFlight::Peak peak = in_flight.peak();
  CHECK_EQ(peak.requests, requests);
  CHECK_EQ(peak.pids, pids);
  CHECK_EQ(peak.from, from);
  CHECK_EQ(peak.until, until);
}

TEST("without a request, none was in flight") {
  InFlight in_flight;
  check_peak(in_flight, 0, 0, 0, 0);
  CHECK_EQ(in_flight.greeters(), 0);
}

TEST("a request is in flight from its send to its end") {
  InFlight in_flight;
  in_flight.sent(10);
  in_flight.ended(100, 10, 25);
  check_peak(in_flight, 1, 1, 10, 25);
}

TEST("the peak is where most requests overlap, and lasts until the first of them ends") {
  InFlight in_flight;
  in_flight.sent(10);
  in_flight.sent(20);
  in_flight.sent(30);
  in_flight.ended(2, 20, 45);
  in_flight.ended(1, 10, 50);
  in_flight.ended(3, 30, 60);
  check_peak(in_flight, 3, 3, 30, 45);
}

TEST("if the peak is reached again, its longest interval counts") {
  InFlight in_flight;
  in_flight.sent(10);
  in_flight.sent(20);  // 2 from 20 to 25
  in_flight.ended(2, 20, 25);
  in_flight.sent(30);  // 2 from 30 to 50
  in_flight.ended(1, 10, 50);
  in_flight.sent(60);  // 2 from 60 to 70
  in_flight.ended(1, 60, 70);
  in_flight.ended(2, 30, 80);
  check_peak(in_flight, 2, 2, 30, 50);
}

TEST("a later, higher peak replaces a longer, lower one") {
  InFlight in_flight;
  in_flight.sent(10);
  in_flight.ended(1, 10, 1000);
  in_flight.sent(1001);
  in_flight.sent(1002);
  in_flight.ended(2, 1002, 1003);
  in_flight.ended(1, 1001, 1004);
  check_peak(in_flight, 2, 2, 1002, 1003);
}

TEST("several requests in one process count as several requests and as one process") {
  InFlight in_flight;
  in_flight.sent(1);
  in_flight.sent(2);
  in_flight.sent(3);
  in_flight.ended(7, 1, 4);
  in_flight.ended(7, 2, 5);
  in_flight.ended(8, 3, 6);
  check_peak(in_flight, 3, 2, 3, 4);
}

TEST("the processes of the peak are those of its longest interval") {
  InFlight in_flight;
  in_flight.sent(10);
  in_flight.sent(20);  // two processes, from 20 to 21
  in_flight.ended(2, 20, 21);
  in_flight.sent(30);  // one process, from 30 to 50
  in_flight.ended(1, 10, 50);
  in_flight.ended(1, 30, 60);
  check_peak(in_flight, 2, 1, 30, 50);
}

TEST("a request that ends without a process counts as a request alone") {
  InFlight in_flight;
  in_flight.sent(1);
  in_flight.sent(2);
  in_flight.ended(0, 1, 3);
  in_flight.ended(7, 2, 4);
  check_peak(in_flight, 2, 1, 2, 3);
}

TEST("a process counts once as a greeter, however many clients it greets") {
  InFlight in_flight;
  for (const std::uint32_t pid : {1U, 2U, 1U, 4'194'303U, 2U, 0U}) in_flight.seen(pid);
  CHECK_EQ(in_flight.greeters(), 4);
}

TEST("the first sixteen greeters are known, each once, in their order") {
  InFlight in_flight;
  for (std::uint32_t pid = 100; pid < 200; pid++) {
    in_flight.seen(pid);
    in_flight.seen(pid);
  }
  const std::vector<std::uint32_t> first = in_flight.first_greeters();
  CHECK_EQ(first.size(), 16);
  CHECK_EQ(first.front(), 100);
  CHECK_EQ(first.back(), 115);
}

TEST("a pid that Linux cannot assign does no harm") {
  InFlight in_flight;
  in_flight.seen(UINT32_MAX);
  in_flight.sent(1);
  in_flight.ended(UINT32_MAX, 1, 2);
  check_peak(in_flight, 1, 1, 1, 2);
  CHECK_EQ(in_flight.greeters(), 1);
}

TEST("one process may have more than 65536 requests in flight") {
  constexpr std::uint32_t kRequests = 70'000;
  InFlight in_flight;
  for (std::uint32_t i = 0; i < kRequests; i++) in_flight.sent(i + 1);
  for (std::uint32_t i = 0; i < kRequests; i++) in_flight.ended(1, i + 1, kRequests + i + 1);
  check_peak(in_flight, kRequests, 1, kRequests, kRequests + 1);
}

TEST("threads that count at the same time lose nothing") {
  constexpr int kThreads = 4;
  constexpr int kRounds = 50'000;
  InFlight in_flight;
  std::vector<std::thread> threads;
  for (std::uint32_t t = 1; t <= kThreads; t++)
    threads.emplace_back([&in_flight, t] {
      in_flight.seen(t);
      for (int i = 0; i < kRounds; i++) {
        const Nanoseconds sent = monotonic_now();
        in_flight.sent(sent);
        in_flight.ended(t, sent, monotonic_now());
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK_EQ(in_flight.greeters(), kThreads);
  CHECK(in_flight.peak().requests <= kThreads);
  // No request is left in flight, so these alone make the new peak.
  const Nanoseconds sent = monotonic_now();
  for (std::uint32_t i = 1; i <= kThreads + 1; i++) in_flight.sent(sent);
  CHECK_EQ(in_flight.peak().requests, kThreads + 1);
  for (std::uint32_t i = 1; i <= kThreads + 1; i++) in_flight.ended(i, sent, sent + 1);
  CHECK_EQ(in_flight.peak().pids, kThreads + 1);
}

}  // namespace
}  // namespace kilofork
