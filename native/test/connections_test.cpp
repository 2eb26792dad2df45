#include "keeper/connections.hpp"

#include <string>
#include <string_view>

#include "check.hpp"

namespace kilofork {
namespace {

using Limit = KeptConnection::Limit;

constexpr std::size_t kMost = 4;
constexpr std::size_t kLongestHeld = 8;

std::string held(const Connections& connections, std::uint32_t index) {
  const auto bytes = connections.held(index);
  return {bytes.begin(), bytes.end()};
}
std::span<const char> bytes(std::string_view text) {
  return {text.data(), text.size()};
}

TEST("the table has room for so many connections, and uses a place again") {
  Connections connections(kMost, kLongestHeld, {});
  for (int fd = 10; fd < 14; fd++) connections.add(fd, {});
  CHECK(connections.is_full());
  connections.remove(2);
  CHECK_EQ(connections.count(), 3);
  CHECK_EQ(connections.add(20, {}), 2);
  CHECK_EQ(connections[2].fd, 20);
}

TEST("connections of an address are counted while they are there") {
  Connections connections(kMost, kLongestHeld, {});
  const auto first = connections.add(10, {1, 2});
  connections.add(11, {1, 2});
  connections.add(12, {1, 3});
  CHECK_EQ(connections.count_of({1, 2}), 2);
  connections.remove(first);
  CHECK_EQ(connections.count_of({1, 2}), 1);
}

TEST("what is held of a connection stays until it is replaced, and is nobody else's") {
  Connections connections(kMost, kLongestHeld, {});
  const auto a = connections.add(10, {});
  const auto b = connections.add(11, {});
  CHECK(connections.hold(a, bytes("first")));
  CHECK(connections.hold(b, bytes("second")));
  CHECK_EQ(held(connections, a), "first");
  CHECK(connections.hold(a, {}));
  CHECK_EQ(held(connections, a), "");
  CHECK_EQ(held(connections, b), "second");
  CHECK(!connections.hold(a, bytes("too long.")));
  connections.remove(b);
  const auto c = connections.add(12, {});
  CHECK_EQ(held(connections, c), "");
}

TEST("the queue is first in, first out; what is made ready again comes before") {
  Connections connections(kMost, kLongestHeld, {});
  for (int fd = 10; fd < 14; fd++) connections.add(fd, {});
  for (const std::uint32_t index : {2U, 0U, 3U}) connections.make_ready(index);
  CHECK_EQ(connections.take_ready(), 2);
  connections.make_ready_again(2);
  connections.make_ready(1);
  CHECK_EQ(connections.ready(), 4);
  for (const std::uint32_t index : {2U, 0U, 3U, 1U}) CHECK_EQ(connections.take_ready(), index);
  CHECK_EQ(connections.ready(), 0);
}

TEST("each is late once, when the time of its kind has passed") {
  Connections connections(kMost, kLongestHeld, {0, 100, 10, 5});
  for (int fd = 10; fd < 13; fd++) connections.add(fd, {});
  connections.begin_limit(0, Limit::first_byte, 0);
  connections.begin_limit(1, Limit::first_byte, 1);
  connections.begin_limit(2, Limit::line, 50);
  CHECK_EQ(connections.next_deadline(), 60);
  CHECK(!connections.take_late(59));
  CHECK_EQ(*connections.take_late(60), 2);
  CHECK(!connections.take_late(99));
  connections.end_limit(0);
  CHECK(!connections.take_late(100));
  CHECK_EQ(*connections.take_late(101), 1);
  CHECK_EQ(connections.next_deadline(), kNever);
}

TEST("a limit that begins anew counts from then; without a limit none is ever late") {
  Connections connections(kMost, kLongestHeld, {0, 100, 0, 5});
  connections.add(10, {});
  connections.begin_limit(0, Limit::first_byte, 0);
  connections.begin_limit(0, Limit::first_byte, 50);
  CHECK(!connections.take_late(149));
  connections.begin_limit(0, Limit::line, 50);
  CHECK_EQ(connections.next_deadline(), kNever);
}

TEST("limits are visited in the order of their deadlines, also those of another keeper") {
  Connections connections(kMost, kLongestHeld, {0, 100, 10, 5});
  for (int fd = 10; fd < 13; fd++) connections.add(fd, {});
  connections.begin_limit(2, Limit::first_byte, 0);
  connections.begin_limit(0, Limit::first_byte, 3);
  connections.resume_limit(1, Limit::line, 7);
  std::string order;
  connections.for_each_with_limit([&](std::uint32_t index) { order += std::to_string(index); });
  CHECK_EQ(order, "201");
  CHECK_EQ(*connections.take_late(7), 1);
}

}  // namespace
}  // namespace kilofork
