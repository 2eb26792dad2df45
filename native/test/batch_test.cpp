#include "keeper/batch.hpp"

#include <thread>

#include "check.hpp"

namespace kilofork {
namespace {

TEST("a child takes each connection of its batch once, and none of another batch") {
  std::atomic<std::uint64_t> word = 0;
  BatchWord batch(word);
  batch.set(7, 2);
  CHECK(!batch.take(6));
  CHECK_EQ(*batch.take(7), 0);
  CHECK_EQ(*batch.take(7), 1);
  CHECK(!batch.take(7));
  CHECK_EQ(batch.take_back(), 2);
}

TEST("what the keeper takes back, the child cannot take") {
  std::atomic<std::uint64_t> word = 0;
  BatchWord batch(word);
  batch.set(7, 32);
  CHECK_EQ(*batch.take(7), 0);
  CHECK_EQ(batch.take_back(), 1);
  CHECK(!batch.take(7));
  CHECK_EQ(batch.take_back(), 1);
}

TEST("when both reach for a connection at the same time, exactly one gets it") {
  for (int round = 0; round < 2000; round++) {
    std::atomic<std::uint64_t> word = 0;
    BatchWord(word).set(1, 32);
    std::size_t taken = 0;
    std::thread child([&] {
      while (BatchWord(word).take(1)) taken++;
    });
    const std::size_t begun = BatchWord(word).take_back();
    child.join();
    CHECK_EQ(taken, begun);
  }
}

}  // namespace
}  // namespace kilofork
