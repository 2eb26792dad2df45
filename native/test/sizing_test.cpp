// The rule by which a pool grows and shrinks. No process is forked: the pools are numbers.
#include "supervisor/sizing.hpp"

#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include "check.hpp"

namespace kilofork {
namespace {

constexpr Nanoseconds kInterval = Sizing::kSampleEvery;
constexpr std::int64_t kSamplesSoon = Sizing::kSoon / kInterval;
constexpr Nanoseconds kEighth = 1250 * kMillisecond;  // of shrink_after
constexpr PoolBounds kBounds{
    .start = 10, .min_spare = 5, .max_spare = 20, .max = 1000, .shrink_after = 8 * kEighth};

// Gives the rule one sample after the other, at the usual interval.
struct Samples {
  explicit Samples(const PoolBounds& bounds = kBounds) : sizing(bounds) { sizing.begin({}, now); }
  Need sample(const Census& census, Nanoseconds after = kInterval) {
    now += after;
    return sizing.sample(census, now);
  }
  Nanoseconds now = 1000 * kSecond;
  Sizing sizing;
};

// ---- growing ----------------------------------------------------------------------------------

TEST("for clients that no child is about to accept, as many children are forked at once") {
  Samples samples;
  const Need need = samples.sample({.alive = 10, .idle = 0, .waiting = 300, .finished = 0});
  CHECK_EQ(need.queue, 300);
  CHECK_EQ(need.spare, 0);
}

TEST("idle children are subtracted from the clients that wait") {
  CHECK_EQ(Samples().sample({.alive = 10, .idle = 3, .waiting = 10, .finished = 0}).queue, 7);
  CHECK_EQ(Samples().sample({.alive = 10, .idle = 10, .waiting = 10, .finished = 0}).queue, 0);
  CHECK_EQ(Samples().sample({.alive = 11, .idle = 11, .waiting = 10, .finished = 0}).queue, 0);
}

TEST("what was forked for a queue counts as idle, and is not forked again") {
  Samples samples;
  CHECK_EQ(samples.sample({.alive = 10, .idle = 0, .waiting = 300, .finished = 0}).queue, 300);
  // None of them has come to accept yet.
  for (int i = 0; i < 5; i++)
    CHECK_EQ(samples.sample({.alive = 310, .idle = 300, .waiting = 300, .finished = 0}).queue, 0);
}

TEST("a queue that is about to be gone costs no fork, however long it is") {
  Samples samples;
  std::int64_t finished = 0;
  for (int i = 0; i < 1000; i++) {
    finished += 200;
    const auto waiting = static_cast<std::size_t>(200 * kSamplesSoon) - kBounds.min_spare;
    const Need need =
        samples.sample({.alive = 10, .idle = 0, .waiting = waiting, .finished = finished});
    CHECK_EQ(need.queue + need.spare, 0);
  }
}

TEST("children whose clients leave soon are subtracted from the queue") {
  const auto queue = [](std::size_t idle, std::size_t waiting) {
    return Samples()
        .sample({.alive = 10, .idle = idle, .waiting = waiting, .finished = 200 / kSamplesSoon})
        .queue;
  };
  CHECK_EQ(queue(0, 200), 0);
  CHECK_EQ(queue(0, 201), 1);
  CHECK_EQ(queue(3, 210), 7);
}

TEST("the rate at which clients leave is measured over the time since the last sample") {
  // Ten times kSoon ago: a tenth of those that have left since will leave within kSoon.
  const Census census{.alive = 10, .idle = 0, .waiting = 41, .finished = 400};
  CHECK_EQ(Samples().sample(census, 10 * Sizing::kSoon).queue, 1);
  // A shorter time than the interval counts as the interval.
  const Census early{.alive = 10, .idle = 0, .waiting = 41, .finished = 4};
  CHECK_EQ(Samples().sample(early, kInterval / 10).queue, 41 - 4 * kSamplesSoon);
}

TEST("the rate is that since the last sample, not since the first") {
  Samples samples;
  (void)samples.sample({.alive = 10, .idle = 0, .waiting = 0, .finished = 1000});
  CHECK_EQ(samples.sample({.alive = 10, .idle = 0, .waiting = 30, .finished = 1000}).queue, 30);
}

TEST("clients that left during a pause say nothing about the present rate") {
  Samples samples;
  samples.now += 3600 * kSecond;
  samples.sizing.begin({.alive = 10, .idle = 10, .waiting = 0, .finished = 1'000'000}, samples.now);
  const Census census{.alive = 10, .idle = 0, .waiting = 30, .finished = 1'000'000};
  CHECK_EQ(samples.sample(census).queue, 30);
}

TEST("a count that decreases is a rate of 0") {
  Samples samples;
  (void)samples.sample({.alive = 10, .idle = 10, .waiting = 0, .finished = 100});
  const Need need = samples.sample({.alive = 10, .idle = 2, .waiting = 12, .finished = 99});
  CHECK_EQ(need.queue, 10);
}

TEST("spare children that are missing in two samples in a row are forked, all of them") {
  Samples samples;
  const Census census{.alive = 10, .idle = 1, .waiting = 0, .finished = 0};
  CHECK_EQ(samples.sample(census).spare, 0);
  const Need need = samples.sample(census);
  CHECK_EQ(need.spare, 4);
  CHECK_EQ(need.queue, 0);
  CHECK_EQ(samples.sample({.alive = 14, .idle = 5, .waiting = 0, .finished = 0}).spare, 0);
}

TEST("a spare child that is missing in one sample only is not forked") {
  Samples samples;
  std::size_t forks = 0;
  for (std::size_t i = 0; i < 1000; i++)
    forks += samples.sample({.alive = 10, .idle = 4 + i % 2, .waiting = 0, .finished = 0}).spare;
  CHECK_EQ(forks, 0);
}

TEST("as many spare children are forked as were missing in both samples") {
  const auto forked = [](std::size_t first, std::size_t second) {
    Samples samples;
    (void)samples.sample({.alive = 10, .idle = 5 - first, .waiting = 0, .finished = 0});
    return samples.sample({.alive = 10, .idle = 5 - second, .waiting = 0, .finished = 0}).spare;
  };
  CHECK_EQ(forked(4, 1), 1);
  CHECK_EQ(forked(1, 4), 1);
  CHECK_EQ(forked(5, 5), 5);
  CHECK_EQ(forked(0, 5), 0);
}

TEST("a sample before a pause does not count as the first of the two") {
  Samples samples;
  const Census census{.alive = 10, .idle = 1, .waiting = 0, .finished = 0};
  (void)samples.sample(census);
  samples.sizing.begin(census, samples.now);
  CHECK_EQ(samples.sample(census).spare, 0);
  CHECK_EQ(samples.sample(census).spare, 4);
}

TEST("children for the queue and spare children are added") {
  Samples samples;
  const Census census{.alive = 10, .idle = 0, .waiting = 30, .finished = 0};
  (void)samples.sample(census);
  const Need need = samples.sample(census);
  CHECK_EQ(need.queue, 30);
  CHECK_EQ(need.spare, 5);
}

TEST("a queue that is about to be gone does not use up the spare children that are there") {
  Samples samples;
  for (int i = 1; i <= 10; i++) {
    const std::size_t waiting = static_cast<std::size_t>(4 * kSamplesSoon);
    const Need need =
        samples.sample({.alive = 50, .idle = 5, .waiting = waiting, .finished = i * 4});
    CHECK_EQ(need.queue + need.spare, 0);
  }
}

TEST("there are never more children than the maximum, and the queue comes first") {
  const auto need_of = [](std::size_t alive) {
    Samples samples;
    const Census census{.alive = alive, .idle = 0, .waiting = 300, .finished = 0};
    (void)samples.sample(census);
    return samples.sample(census);
  };
  CHECK_EQ(need_of(700).queue, 300);
  CHECK_EQ(need_of(700).spare, 0);
  CHECK_EQ(need_of(698).spare, 2);
  CHECK_EQ(need_of(998).queue, 2);
  CHECK_EQ(need_of(998).spare, 0);
  CHECK_EQ(need_of(1000).queue, 0);
  CHECK_EQ(need_of(1001).queue + need_of(1001).spare, 0);  // the maximum was lower once
}

TEST("whatever the sample, the need stays within the bounds") {
  std::mt19937 random(17);
  const auto up_to = [&random](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most)(random);
  };
  Samples samples;
  std::int64_t finished = 0;
  for (int i = 0; i < 100'000; i++) {
    const std::size_t alive = up_to(1000);
    const Census census{.alive = alive,
                        .idle = up_to(alive),
                        .waiting = up_to(up_to(4096)),
                        .finished = finished += static_cast<std::int64_t>(up_to(up_to(500)))};
    const Need need = samples.sample(census, static_cast<Nanoseconds>(up_to(20)) * kMillisecond);
    CHECK(census.alive + need.queue + need.spare <= kBounds.max);
    CHECK(need.queue <= census.waiting);
    CHECK(need.spare <= kBounds.min_spare);
    if (census.idle >= census.waiting) CHECK_EQ(need.queue, 0);
    if (census.idle >= census.waiting + kBounds.min_spare) CHECK_EQ(need.spare, 0);
  }
}

TEST("a pool is dynamic when it may be smaller than its maximum") {
  const PoolBounds fixed{.start = 8, .min_spare = 1, .max_spare = 8, .max = 8, .shrink_after = 1};
  CHECK(!fixed.is_dynamic());
  PoolBounds bounds = fixed;
  bounds.start = 7;
  CHECK(bounds.is_dynamic());
  bounds = fixed;
  bounds.max_spare = 7;
  CHECK(bounds.is_dynamic());
}

// ---- shrinking --------------------------------------------------------------------------------

struct Retirement {
  Nanoseconds after;  // the first sample
  std::size_t count;
  bool operator==(const Retirement&) const = default;
};

// The retirements of a pool whose children are all idle: after shrink_after, and then in each
// eighth of it, an eighth of the surplus.
std::vector<Retirement> expected_retirements(std::size_t idle, const PoolBounds& bounds) {
  std::vector<Retirement> all;
  for (Nanoseconds after = bounds.shrink_after; idle > bounds.max_spare;
       after += bounds.shrink_after / 8) {
    const std::size_t eighth = (idle - bounds.max_spare + 7) / 8;
    all.push_back({.after = after, .count = eighth});
    idle -= eighth;
  }
  return all;
}

// A pool with `busy(time)` busy children, which is sampled and retires its surplus.
struct Shrinking {
  std::vector<Retirement> run(Nanoseconds time,
                              const std::function<std::size_t(Nanoseconds)>& busy) {
    std::vector<Retirement> all;
    for (Nanoseconds after = 0; after < time; after += kInterval) {
      const std::size_t idle = alive - busy(after);
      const std::size_t count = sizing.surplus(idle, kStart + after);
      CHECK(count <= idle);
      if (count > 0) all.push_back({.after = after, .count = count});
      alive -= count;
    }
    return all;
  }
  static constexpr Nanoseconds kStart = 1000 * kSecond;
  std::size_t alive;
  Sizing sizing{kBounds};
};

TEST("surplus children retire by eighths, down to max_spare and not below") {
  for (const std::size_t idle : {21U, 22U, 28U, 29U, 100U, 1000U}) {
    Shrinking pool{.alive = idle};
    const auto retirements = pool.run(100 * kBounds.shrink_after, [](auto) { return 0; });
    CHECK(retirements == expected_retirements(idle, kBounds));
    CHECK_EQ(pool.alive, kBounds.max_spare);
  }
}

TEST("idle children within max_spare stay") {
  for (const std::size_t idle : {0U, 1U, 19U, 20U}) {
    Shrinking pool{.alive = idle};
    CHECK(pool.run(10 * kBounds.shrink_after, [](auto) { return 0; }).empty());
  }
}

TEST("children that were busy in one sample within shrink_after stay") {
  Shrinking pool{.alive = 100};
  const auto busy = [](Nanoseconds after) -> std::size_t {
    return after % kBounds.shrink_after == 7 * kInterval ? 80 : 0;
  };
  CHECK(pool.run(50 * kBounds.shrink_after, busy).empty());
}

TEST("only children that were idle during all of shrink_after retire") {
  Shrinking pool{.alive = 100};
  const auto busy = [](Nanoseconds after) -> std::size_t {
    return after % (kBounds.shrink_after / 2) == 7 * kInterval ? 50 : 0;
  };
  (void)pool.run(50 * kBounds.shrink_after, busy);
  CHECK_EQ(pool.alive, 50 + kBounds.max_spare);
}

TEST("children that have just become idle stay for all of shrink_after") {
  Shrinking pool{.alive = 100};
  const Nanoseconds ends = 3 * kBounds.shrink_after;
  const auto retirements = pool.run(20 * kBounds.shrink_after, [&](Nanoseconds after) {
    return after < ends ? std::size_t{95} : 0;
  });
  CHECK(!retirements.empty());
  CHECK(retirements.front().after >= ends + kBounds.shrink_after);
  CHECK(retirements.front().after <= ends + kBounds.shrink_after + kEighth);
}

TEST("a pool that is sampled only when next_surplus() says so shrinks all the same") {
  Sizing sizing(kBounds);
  Nanoseconds now = 1000 * kSecond;
  std::size_t idle = 100;
  std::vector<Retirement> retirements;
  CHECK_EQ(sizing.surplus(idle, now), 0);
  while (const Nanoseconds next = sizing.next_surplus(idle)) {
    CHECK(next <= 1000 * kSecond + 100 * kBounds.shrink_after);
    CHECK_EQ(next, now + kEighth);
    CHECK_EQ(sizing.surplus(idle, next - 1), 0);
    now = next;
    const std::size_t count = sizing.surplus(idle, now);
    if (count > 0) retirements.push_back({.after = now - 1000 * kSecond, .count = count});
    idle -= count;
  }
  CHECK(retirements == expected_retirements(100, kBounds));
  CHECK_EQ(idle, kBounds.max_spare);
}

// ---- both -------------------------------------------------------------------------------------

// A pool and its clients. It forks and retires by the rule; children accept as soon as they can.
class SimulatedPool {
 public:
  // One interval, in which so many clients come and so many leave.
  void pass(std::size_t come, std::size_t leave) {
    CHECK(leave <= busy);
    busy -= leave;
    finished_ += static_cast<std::int64_t>(leave);
    waiting_ += come;
    const std::size_t accepted = std::min(waiting_, alive - busy);
    waiting_ -= accepted;
    busy += accepted;
    now += kInterval;
    const Census census{
        .alive = alive, .idle = alive - busy, .waiting = waiting_, .finished = finished_};
    const Need need = sizing_.sample(census, now);
    const std::size_t count = sizing_.surplus(census.idle, now);
    alive -= count;
    retired += count;
    alive += need.queue + need.spare;
    forks += need.queue + need.spare;
    CHECK(alive <= kBounds.max);
  }
  void pass_idly(Nanoseconds time) {
    for (Nanoseconds end = now + time; now < end;) pass(0, 0);
  }

  std::size_t alive = kBounds.start;
  std::size_t busy = 0;
  std::size_t forks = 0;
  std::size_t retired = 0;
  Nanoseconds now = 0;

 private:
  Sizing sizing_{kBounds};
  std::size_t waiting_ = 0;
  std::int64_t finished_ = 0;
};

constexpr std::size_t kWave = 300;
constexpr Nanoseconds kHalfWave = 2 * kSecond;

void wave(SimulatedPool& pool, std::size_t per_interval) {
  for (std::size_t come = 0; come < kWave; come += per_interval) pool.pass(per_interval, 0);
  pool.pass_idly(kHalfWave);
  for (std::size_t gone = 0; gone < kWave; gone += per_interval) pool.pass(0, per_interval);
  pool.pass_idly(kHalfWave);
}

TEST("a load in waves makes a pool grow once, however steep the waves are") {
  for (const std::size_t per_interval : {kWave, std::size_t{10}, std::size_t{2}}) {
    SimulatedPool pool;
    pool.pass_idly(kSecond);
    wave(pool, per_interval);
    CHECK_EQ(pool.forks, kWave + kBounds.min_spare - kBounds.start);
    for (int i = 1; i < 100; i++) wave(pool, per_interval);
    CHECK_EQ(pool.forks, kWave + kBounds.min_spare - kBounds.start);
    CHECK_EQ(pool.retired, 0);
  }
}

TEST("once the waves have ended, the pool shrinks to max_spare in the time of the rule") {
  SimulatedPool pool;
  for (int i = 0; i < 100; i++) wave(pool, kWave);
  const Nanoseconds ended = pool.now - kHalfWave;
  const auto steps = static_cast<Nanoseconds>(expected_retirements(pool.alive, kBounds).size());
  while (pool.alive > kBounds.max_spare && pool.now < ended + 100 * kBounds.shrink_after)
    pool.pass(0, 0);
  // The eighth in which the last wave ended is not counted; the first eighth of the children
  // leaves when eight more are over.
  CHECK(pool.now - ended >= (7 + steps) * kEighth);
  CHECK(pool.now - ended <= (8 + steps) * kEighth + 2 * kInterval);
  pool.pass_idly(5 * kBounds.shrink_after);
  CHECK_EQ(pool.alive, kBounds.max_spare);
  CHECK_EQ(pool.forks, kWave + kBounds.min_spare - kBounds.start);
}

TEST("a pool grows again for each wave if the waves are further apart than it takes to shrink") {
  SimulatedPool pool;
  for (int i = 0; i < 3; i++) {
    wave(pool, kWave);
    pool.pass_idly(20 * kBounds.shrink_after);
    CHECK_EQ(pool.alive, kBounds.max_spare);
  }
  CHECK(pool.retired > 2 * (kWave - kBounds.max_spare));
}

TEST("a pool whose clients come and go steadily neither grows nor shrinks") {
  SimulatedPool pool;
  pool.pass(100, 0);
  pool.pass_idly(kSecond);
  const std::size_t forks = pool.forks;
  for (int i = 0; i < 100'000; i++) pool.pass(50, 50);
  CHECK_EQ(pool.forks, forks);
  CHECK_EQ(pool.retired, 0);
}

}  // namespace
}  // namespace kilofork
