#include "load/stalls.hpp"

#include "check.hpp"

namespace kilofork {
namespace {

TEST("without a stall, no interval has any") {
  CHECK_EQ(Stalls().within(0, kNever), 0);
}

TEST("an interval has as much of each stall as lies within it") {
  Stalls stalls;
  stalls.note(100, 50);
  stalls.note(300, 100);
  CHECK_EQ(stalls.within(0, 1000), 150);
  CHECK_EQ(stalls.within(60, 250), 40 + 50);
  CHECK_EQ(stalls.within(220, 230), 10);
  CHECK_EQ(stalls.within(100, 200), 0);
  CHECK_EQ(stalls.within(300, 1000), 0);
}

TEST("stalls that overlap count once") {
  Stalls stalls;
  stalls.note(100, 50);
  stalls.note(100, 30);
  stalls.note(110, 20);
  stalls.note(200, 40);
  CHECK_EQ(stalls.within(0, 1000), 60 + 40);
  stalls.note(210, 190);
  CHECK_EQ(stalls.within(0, 1000), 190);
}

}  // namespace
}  // namespace kilofork
