// Compares the time of a record with strftime(3), for zones and minutes that are difficult.
#include "base/clock.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "check.hpp"

namespace kilofork {
namespace {

constexpr std::time_t kSpringForward = 1'583'650'800;  // 2020-03-08 02:00 EST becomes 03:00 EDT
constexpr std::time_t kFallBack = 1'604'210'400;       // 2020-11-01 02:00 EDT becomes 01:00 EST
// The rules of America/New_York, also where no zone files are installed.
constexpr const char* kNewYork = "EST5EDT,M3.2.0,M11.1.0";

void use_zone(const char* zone) {
  ::setenv("TZ", zone, 1);
  ::tzset();
}

std::string formatted(RecordTime& time, std::time_t second, long nanoseconds = 0) {
  std::string out(RecordTime::kLength, '?');
  time.format({.tv_sec = second, .tv_nsec = nanoseconds}, out.data());
  return out;
}

std::string reference(std::time_t second) {
  std::tm local{};
  ::localtime_r(&second, &local);
  std::string out(64, '\0');
  out.resize(std::strftime(out.data(), out.size(), "%Y.%m.%d %H:%M:%S", &local));
  return out;
}

// Compares each second around `middle`, and then again in leaps.
void compare_around(std::time_t middle) {
  UtcOffset offset;
  RecordTime time(offset);
  for (std::time_t second = middle - 4000; second < middle + 4000; second++)
    CHECK_EQ(formatted(time, second), reference(second) + ".000000000");
  for (std::time_t leap = 1; leap < 200'000; leap += 977)
    for (const std::time_t second : {middle + leap, middle - leap, middle})
      CHECK_EQ(formatted(time, second), reference(second) + ".000000000");
}

TEST("a record's time has nanoseconds, all nine digits of them") {
  use_zone("UTC");
  UtcOffset offset;
  RecordTime time(offset);
  CHECK_EQ(formatted(time, 1'594'053'897, 270'823'600), "2020.07.06 16:44:57.270823600");
  CHECK_EQ(formatted(time, 1'594'053'897, 0), "2020.07.06 16:44:57.000000000");
  CHECK_EQ(formatted(time, 1'594'053'897, 1), "2020.07.06 16:44:57.000000001");
  CHECK_EQ(formatted(time, 1'594'053'897, 999'999'999), "2020.07.06 16:44:57.999999999");
}

TEST("nothing is written behind a record's time") {
  use_zone("UTC");
  UtcOffset offset;
  RecordTime time(offset);
  std::string out(RecordTime::kLength + 3, '?');
  time.format({.tv_sec = 0, .tv_nsec = 5}, out.data());
  CHECK_EQ(out, "1970.01.01 00:00:00.000000005???");
}

TEST("minutes, hours, days and years turn where strftime turns them") {
  use_zone("UTC");
  compare_around(1'609'459'200);  // 2021-01-01 00:00
  compare_around(1'582'934'400);  // 2020-02-29 00:00
}

TEST("New York's clocks go forward and back as strftime has it") {
  use_zone(kNewYork);
  compare_around(kSpringForward);
  compare_around(kFallBack);
  UtcOffset offset;
  RecordTime time(offset);
  CHECK_EQ(formatted(time, kSpringForward - 1), "2020.03.08 01:59:59.000000000");
  CHECK_EQ(formatted(time, kSpringForward), "2020.03.08 03:00:00.000000000");
  CHECK_EQ(formatted(time, kFallBack - 1), "2020.11.01 01:59:59.000000000");
  CHECK_EQ(formatted(time, kFallBack), "2020.11.01 01:00:00.000000000");
}

TEST("the zone files say the same as the rules") {
  if (::access("/usr/share/zoneinfo/America/New_York", R_OK) != 0) return;
  use_zone("America/New_York");
  UtcOffset offset;
  RecordTime time(offset);
  CHECK_EQ(formatted(time, kSpringForward), "2020.03.08 03:00:00.000000000");
  compare_around(kFallBack);
}

TEST("zones that are off by a part of an hour are right to the minute") {
  for (const char* zone : {"NPT-5:45", "CHAST-12:45", "MART9:30", "X-0:01"}) {
    use_zone(zone);
    compare_around(1'594'053'897);
  }
}

TEST("the offset is computed once in a quarter of an hour") {
  use_zone("CET-1");
  UtcOffset offset;
  CHECK_EQ(offset.at(900'000), 3600);
  use_zone("NPT-5:45");
  CHECK_EQ(offset.at(900'899), 3600);
  CHECK_EQ(offset.at(900'900), 20'700);
  offset.publish(900'900, 20'700);
  CHECK_EQ(offset.at(900'901), 20'700);
  CHECK_EQ(offset.at(900'899), 20'700);
  use_zone("EST5");
  CHECK_EQ(offset.at(0), -18'000);
}

TEST("another offset is found by everybody until it is published") {
  use_zone(kNewYork);
  UtcOffset offset;
  RecordTime one(offset);
  RecordTime other(offset);
  (void)formatted(one, kFallBack - 60);
  CHECK(one.is_published());  // the first offset
  for (RecordTime* time : {&one, &other}) {
    CHECK_EQ(formatted(*time, kFallBack), "2020.11.01 01:00:00.000000000");
    CHECK(!time->is_published());
    CHECK_EQ(time->offset(), -18'000);
  }
  one.publish();
  CHECK(one.is_published());
  RecordTime late(offset);  // it read the clock before the change
  CHECK_EQ(formatted(late, kFallBack - 1), "2020.11.01 01:59:59.000000000");
  CHECK(late.is_published());
  CHECK_EQ(formatted(late, kFallBack + 60), "2020.11.01 01:01:00.000000000");
  CHECK(late.is_published());
  // Not a moment before the change: the clock was set back.
  CHECK_EQ(formatted(late, kFallBack - 1000), "2020.11.01 01:43:20.000000000");
  CHECK(!late.is_published());
}

TEST("an offset is written with its sign, and with seconds where it has some") {
  std::array<char, 9> out{};
  CHECK_EQ(RecordTime::write_offset(0, out), "+00:00");
  CHECK_EQ(RecordTime::write_offset(20'700, out), "+05:45");
  CHECK_EQ(RecordTime::write_offset(-34'200, out), "-09:30");
  CHECK_EQ(RecordTime::write_offset(-61, out), "-00:01:01");
}

TEST("times turn into nanoseconds and back") {
  for (const timespec time : {timespec{0, 0}, {0, 1}, {1, 999'999'999}, {4'102'444'800, 5}}) {
    const timespec back = to_timespec(to_nanoseconds(time));
    CHECK_EQ(back.tv_sec, time.tv_sec);
    CHECK_EQ(back.tv_nsec, time.tv_nsec);
  }
}

TEST("a timeval is never shorter than asked for, nor longer by a microsecond") {
  const auto back = [](const timeval& time) {
    CHECK(time.tv_usec >= 0 && time.tv_usec < 1'000'000);
    return time.tv_sec * kSecond + time.tv_usec * kMicrosecond;
  };
  CHECK_EQ(back(to_timeval(0)), 0);
  CHECK_EQ(back(to_timeval(1)), kMicrosecond);
  for (const Nanoseconds time :
       {kMicrosecond - 1, kMicrosecond, kMicrosecond + 1, kSecond - kMicrosecond, kSecond - 1,
        kSecond, kSecond + 1, 5 * kSecond - 999, 3600 * kSecond, 1'000'000 * kSecond + 1}) {
    CHECK(back(to_timeval(time)) >= time);
    CHECK(back(to_timeval(time)) < time + kMicrosecond);
  }
}

TEST("the monotonic clock never goes back") {
  Nanoseconds last = monotonic_now();
  for (int i = 0; i < 100'000; i++) {
    const Nanoseconds now = monotonic_now();
    CHECK(now >= last);
    last = now;
  }
}

}  // namespace
}  // namespace kilofork
