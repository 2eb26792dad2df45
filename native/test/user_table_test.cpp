// The table of users: lookups, and readers that race the writer.
#include <atomic>
#include <thread>

#include "base/clock.hpp"
#include "check.hpp"
#include "sandbox.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;
using check::Process;

// A segment without a name, so that forked processes share it and nothing is left behind.
Scoreboard anonymous(std::uint32_t users) {
  Scoreboard board = Scoreboard::create(check::segment_name(), 1, users, {});
  Segment::remove(check::segment_name());
  return board;
}

std::string user(int number) {
  return std::string("user").append(std::to_string(number));
}

TEST("a new table has no users") {
  const Scoreboard board = anonymous(4);
  CHECK(!board.users().contains("arijort"));
  CHECK(!board.users().contains(""));
}

TEST("names of 1 and of 31 bytes are found; nothing longer, shorter or empty is") {
  const Scoreboard board = anonymous(2);
  const std::string longest(31, 'x');
  board.users().replace({"a", longest});
  CHECK(board.users().contains("a"));
  CHECK(board.users().contains(longest));
  for (const std::string& stranger :
       {""s, "b"s, "aa"s, "A"s, std::string(30, 'x'), std::string(32, 'x'), std::string(1000, 'x')})
    CHECK(!board.users().contains(stranger));
}

TEST("a zero byte is a byte like any other") {
  const Scoreboard board = anonymous(4);
  board.users().replace({"ab\0"s, "\0"s, "c\0d"s});
  CHECK(board.users().contains("ab\0"s));
  CHECK(board.users().contains("\0"s));
  CHECK(board.users().contains("c\0d"s));
  for (const std::string& stranger : {"ab"s, "ab\0\0"s, "\0\0"s, "c"s, "c\0"s, "c\0e"s})
    CHECK(!board.users().contains(stranger));
}

TEST("bytes above 127 are found as well as others") {
  const Scoreboard board = anonymous(3);
  board.users().replace({"\xff", "m\u00fcller", "a"});
  for (const char* name : {"\xff", "m\u00fcller", "a"}) CHECK(board.users().contains(name));
  CHECK(!board.users().contains("\xfe"));
}

TEST("a full table finds each of its users and none in between") {
  constexpr int kUsers = 5000;
  const Scoreboard board = anonymous(kUsers);
  std::vector<std::string> names;
  for (int i = 0; i < kUsers; i++) names.push_back(user(i * 2));
  board.users().replace(names);
  for (int i = 0; i < kUsers * 2; i++) CHECK_EQ(board.users().contains(user(i)), i % 2 == 0);
}

TEST("a full table stays within the segment, in both of its halves") {
  const Scoreboard board = anonymous(3);
  board.slots()[0].total = 42;
  for (int round = 0; round < 4; round++) {
    board.users().replace({std::string(31, 'a'), std::string(31, 'b'), std::string(31, 'c')});
    CHECK_EQ(board.total(), 42);
    CHECK_EQ(board.slots()[0].occupancy().state, State::vacant);
  }
}

TEST("a name that is given twice is found, and is gone when it is no longer given") {
  const Scoreboard board = anonymous(4);
  board.users().replace({"a", "b", "a"});
  CHECK(board.users().contains("a"));
  CHECK(board.users().contains("b"));
  board.users().replace({"b"});
  CHECK(!board.users().contains("a"));
  board.users().replace({});
  CHECK(!board.users().contains("b"));
}

// Writes a table that has "user5000" among smaller names, or among greater ones, or alone; so a
// search that begins in one and ends in another goes astray.
void rewrite(UserTable users, int round) {
  std::vector<std::string> names{"user5000"};
  const int first = round % 3 == 0 ? 1000 : 9000;
  const int others = round % 3 == 2 ? 0 : 60;
  for (int i = 0; i < others; i++) names.push_back(user(first + i));
  users.replace(names);
}

// Checks, while the table may be written to, a name that is in every table and one that is in none.
void look_up(const UserTable& users) {
  CHECK(users.contains("user5000"));
  CHECK(!users.contains("user5001"));
}
void look_up_for_a_second(const UserTable& users) {
  for (const Nanoseconds end = monotonic_now() + kSecond; monotonic_now() < end;)
    for (int i = 0; i < 1000; i++) look_up(users);
}

TEST("a thread that reads while the table is replaced sees the old one or the new one") {
  const Scoreboard board = anonymous(64);
  rewrite(board.users(), 0);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int round = 0; !done; round++) rewrite(board.users(), round);
  });
  std::string failure;
  try {
    look_up_for_a_second(board.users());
  } catch (const std::exception& error) {
    failure = error.what();
  }
  done = true;
  writer.join();
  CHECK_EQ(failure, "");
}

TEST("processes that read while the table is replaced see the old one or the new one") {
  const Scoreboard board = anonymous(64);
  rewrite(board.users(), 0);
  const Process writer([&] {
    for (int round = 0;; round++) rewrite(board.users(), round);
  });
  std::vector<Process> readers;
  for (int i = 0; i < 3; i++)  // with the writer, more than there may be processors
    readers.emplace_back([&] { look_up_for_a_second(board.users()); });
  for (Process& reader : readers) CHECK_EQ(reader.wait(), 0);
}

TEST("a writer that is killed at any moment leaves a whole table") {
  const Scoreboard board = anonymous(64);
  rewrite(board.users(), 0);
  for (int i = 0; i < 100; i++) {
    {
      const Process writer([&] {
        for (int round = 0;; round++) rewrite(board.users(), round);
      });
      ::usleep(static_cast<useconds_t>(i) * 10);
    }
    look_up(board.users());
    CHECK_EQ(board.users().contains(user(1000)), board.users().contains(user(1059)));
    CHECK_EQ(board.users().contains(user(9000)), board.users().contains(user(9059)));
  }
}

}  // namespace
}  // namespace kilofork
