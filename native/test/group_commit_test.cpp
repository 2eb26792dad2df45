// Children that wait for the disk: long enough, and never for ever.
#include "shm/group_commit.hpp"

#include <sys/mman.h>

#include <cstring>
#include <optional>
#include <random>

#include "check.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::holds_in_time;
using check::Process;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kRounds = 1'000;
#else
constexpr int kRounds = 10'000;
#endif

// Stands for a log: what was appended, and how much of it is on disk.
struct Shared {
  GroupCommit commit;
  std::atomic<std::uint64_t> appended;
  std::atomic<std::uint64_t> durable;
  std::atomic<std::uint32_t> waiting;
  std::atomic<std::uint32_t> too_early;
  std::atomic<bool> over;
};

Shared& make_shared() {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return *static_cast<Shared*>(memory);
}

void append_and_wait(Shared& shared) {
  const std::uint64_t own = shared.appended.fetch_add(1) + 1;
  shared.commit.wait(shared.commit.join());
  if (shared.durable.load() < own) shared.too_early++;
}

// Does what fdatasync(2) promises: all that was there when it was called is on disk.
void sync_until_over(Shared& shared) {
  std::mt19937 random(7);
  while (!shared.over) {
    shared.commit.wait_for_joiner();
    shared.commit.begin_sync();
    const std::uint64_t written = shared.appended.load();
    for (auto i = random() % 4096; i > 0; i--) asm volatile("");
    shared.durable.store(written);
    shared.commit.end_sync(1);
  }
}

void check_many(Shared& shared) {
  constexpr int kWriters = 6;
  Process syncer([&] { sync_until_over(shared); });
  {
    std::vector<Process> writers;
    for (int i = 0; i < kWriters; i++)
      writers.emplace_back([&] {
        for (int round = 0; round < kRounds; round++) append_and_wait(shared);
      });
    for (Process& writer : writers) CHECK_EQ(writer.wait(), 0);
  }
  shared.over = true;
  shared.commit.join();
  CHECK_EQ(syncer.wait(), 0);
  CHECK_EQ(shared.too_early.load(), 0);
  CHECK_EQ(shared.commit.joined(), kWriters * kRounds + 1);
  CHECK(shared.commit.syncs() < shared.commit.joined());
}

TEST("each child waits for a sync that began after its append, and none waits for ever") {
  check_many(make_shared());
}

// Counts and does not sleep: no clock is fine enough to hit each instruction of the victim.
void pause_at_random(std::mt19937& random) {
  for (auto i = random() % 32768; i > 0; i--) asm volatile("");
}

TEST("a child that is killed before it wakes the syncer leaves no other child waiting") {
  Shared& shared = make_shared();
  const Process syncer([&] { sync_until_over(shared); });
  std::mt19937 random(11);
  for (int round = 0; round < kRounds / 5; round++) {
    std::optional<Process> victim(std::in_place, [&] {
      for (;;) append_and_wait(shared);
    });
    pause_at_random(random);
    victim.reset();
    Process survivor([&] { append_and_wait(shared); });
    CHECK_EQ(survivor.wait(), 0);
  }
  CHECK_EQ(shared.too_early.load(), 0);
}

TEST("a syncer that is killed leaves no child waiting") {
  Shared& shared = make_shared();
  const Process writer([&] {
    for (;;) append_and_wait(shared);
  });
  std::mt19937 random(13);
  for (int round = 0; round < kRounds / 5; round++) {
    {
      const Process victim([&] { sync_until_over(shared); });
      const std::uint64_t joined = shared.commit.joined();
      CHECK(holds_in_time([&] { return shared.commit.joined() > joined + 1; }));
      pause_at_random(random);
    }
    if (shared.commit.is_syncing()) shared.commit.fail_sync(0, ECANCELED);
    shared.commit.wake_missed();
  }
}

TEST("a child whose sync has ended, but that was not woken, can be woken") {
  Shared& shared = make_shared();
  Process waiting([&] { shared.commit.wait(shared.commit.join()); });
  const std::string stat = "/proc/" + std::to_string(waiting.pid()) + "/stat";
  CHECK(holds_in_time([&] { return check::read_file(stat).find(") S ") != std::string::npos; }));
  // What end_sync() does, up to the waking: the numbers of the next sync, and of the last to end.
  auto* const numbers = reinterpret_cast<std::atomic<std::uint32_t>*>(&shared.commit);
  numbers[0] = 1;
  numbers[3] = 1;
  CHECK(!shared.commit.is_syncing());
  shared.commit.wake_missed();
  CHECK_EQ(waiting.wait(), 0);
}

TEST("the numbers of syncs may wrap around") {
  Shared& shared = make_shared();
  // All numbers as they are just before.
  std::memset(static_cast<void*>(&shared.commit), 0xff, 4 * sizeof(std::uint32_t));
  check_many(shared);
}

TEST("a sync that fails wakes all that wait for it; that log and all older ones are dead") {
  Shared& shared = make_shared();
  std::vector<Process> waiting;
  for (int i = 0; i < 20; i++)
    waiting.emplace_back([&] {
      const std::uint32_t sync = shared.commit.join();
      shared.waiting++;
      shared.commit.wait(sync);
      CHECK(shared.commit.is_dead(6) && shared.commit.is_dead(7) && !shared.commit.is_dead(8));
    });
  CHECK(holds_in_time([&] { return shared.waiting == 20; }));
  CHECK(!shared.commit.is_syncing());
  shared.commit.begin_sync();
  CHECK(shared.commit.is_syncing());
  shared.commit.fail_sync(7, EIO);
  CHECK(!shared.commit.is_syncing());
  for (Process& each : waiting) CHECK_EQ(each.wait(), 0);
  CHECK_EQ(shared.commit.error(), EIO);
  CHECK_EQ(shared.commit.syncs(), 0);
}

TEST("a child that joins during a sync waits for the next one") {
  Shared& shared = make_shared();
  shared.commit.begin_sync();
  Process late([&] {
    const std::uint32_t sync = shared.commit.join();
    shared.waiting = 1;
    shared.commit.wait(sync);
  });
  CHECK(holds_in_time([&] { return shared.waiting == 1; }));
  shared.commit.end_sync(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(!late.has_ended());
  shared.commit.begin_sync();
  shared.commit.end_sync(1);
  CHECK_EQ(late.wait(), 0);
}

TEST("the offer of another log wakes those that wait for one") {
  Shared& shared = make_shared();
  Process waiting([&] {
    while (shared.commit.offered() == 0) shared.commit.wait_for_offer(0);
  });
  shared.commit.offer(1);
  CHECK_EQ(waiting.wait(), 0);
}

}  // namespace
}  // namespace kilofork
