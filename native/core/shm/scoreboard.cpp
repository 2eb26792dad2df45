#include "shm/scoreboard.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "process/pid_namespace.hpp"

namespace kilofork {

namespace {

constexpr std::uint64_t kMagic = 0x6b696c6f666f726b;  // "kilofork"
constexpr std::size_t kPage = 4096;
static_assert(sizeof(Header) <= kPage);

constexpr std::size_t round_up(std::size_t size, std::size_t to) {
  return (size + to - 1) / to * to;
}

std::size_t users_offset() {
  return kPage;
}
std::size_t slots_offset(std::uint32_t users) {
  return users_offset() + round_up(UserTable::bytes(users), alignof(Slot));
}
std::size_t peers_offset(std::uint32_t slots, std::uint32_t users) {
  return slots_offset(users) + slots * sizeof(Slot);
}
std::size_t segment_bytes(std::uint32_t slots, std::uint32_t users) {
  return round_up(peers_offset(slots, users) + slots * sizeof(PeerAddress), kPage);
}

template <std::size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  std::copy_n(from.begin(), std::min(from.size(), N - 1), to.begin());
}

}  // namespace

Scoreboard Scoreboard::create(const std::string& name, std::uint32_t slots, std::uint32_t users,
                              const Identity& identity) {
  // The memory is zero: every slot is vacant.
  Scoreboard board(Segment::create(name, segment_bytes(slots, users)), Unchecked{});
  Header& header = board.header();
  header.version = kVersion;
  header.header_bytes = sizeof(Header);
  header.slot_bytes = sizeof(Slot);
  header.slot_count = slots;
  header.user_capacity = users;
  header.front = ::getpid();
  header.port = identity.port;
  header.backlog = identity.backlog;
  header.start = static_cast<std::uint32_t>(identity.bounds.start);
  header.min_spare = static_cast<std::uint32_t>(identity.bounds.min_spare);
  header.max_spare = static_cast<std::uint32_t>(identity.bounds.max_spare);
  header.synced = identity.synced ? 1 : 0;
  header.grace = identity.grace;
  header.spooled = identity.spooled ? 1 : 0;
  header.per_request = identity.per_request ? 1 : 0;
  header.pid_namespace = pid_namespace();
  header.created = monotonic_now();
  header.created_realtime = realtime_now();
  copy_text(header.host, identity.host);
  copy_text(header.address, identity.address);
  copy_text(header.log, identity.log);
  copy_text(header.release, identity.release);
  std::atomic_ref(header.magic).store(kMagic, std::memory_order_release);
  return board;
}

Scoreboard::Scoreboard(Segment segment) : segment_(std::move(segment)) {
  const std::size_t bytes = memory().size();
  if (bytes < kPage)
    throw SystemError("shared memory of " + std::to_string(bytes) + " bytes", EPROTO);
  segment_.refresh(0, kPage);
  check_layout();
}

void Scoreboard::check_layout() const {
  if (std::atomic_ref(header().magic).load(std::memory_order_acquire) != kMagic ||
      header().version != kVersion || header().header_bytes != sizeof(Header) ||
      header().slot_bytes != sizeof(Slot) || header().slot_count > kMostSlots ||
      segment_bytes(header().slot_count, header().user_capacity) != memory().size())
    throw SystemError("shared memory of another version", EPROTO);
}

void Scoreboard::refresh_header() {
  const std::size_t before = slots().size();
  segment_.refresh(0, kPage);
  check_layout();
  if (slots().size() != before) throw SystemError("shared memory of another layout", EPROTO);
}

void Scoreboard::refresh_slots() {
  segment_.refresh(slots_offset(header().user_capacity), slots().size_bytes());
}

UserTable Scoreboard::users() const {
  return {memory().data() + users_offset(), header().user_capacity};
}

std::span<Slot> Scoreboard::slots() const {
  const auto offset = slots_offset(header().user_capacity);
  return {reinterpret_cast<Slot*>(memory().data() + offset), header().slot_count};
}

std::span<PeerAddress> Scoreboard::peers() const {
  const auto offset = peers_offset(header().slot_count, header().user_capacity);
  return {reinterpret_cast<PeerAddress*>(memory().data() + offset), header().slot_count};
}

std::uint64_t Scoreboard::total() const {
  std::uint64_t sum = 0;
  for (const Slot& slot : slots()) sum += slot.total.load(std::memory_order_acquire);
  return sum;
}

void Scoreboard::count_fork(Cause cause, int times) {
  header()
      .forked.at(static_cast<std::size_t>(cause))
      .fetch_add(static_cast<std::uint64_t>(times), std::memory_order_relaxed);
}

void Scoreboard::count_end(Cause cause) {
  header().ended.at(static_cast<std::size_t>(cause)).fetch_add(1, std::memory_order_relaxed);
}

void Scoreboard::vacate(std::size_t slot) {
  peers()[slot].clear();
  slots()[slot].enter(0, State::vacant, age());
}

void Scoreboard::count_orphans() {
  const auto sum = [](const auto& counts) {
    std::uint64_t all = 0;
    for (const auto& count : counts) all += count.load();
    return all;
  };
  // The difference of the sums, and not the number of slots that were occupied: a supervisor may be
  // killed after it counted an end and before it vacates the slot.
  header().ended.at(static_cast<std::size_t>(Cause::orphaned)) +=
      sum(header().forked) - sum(header().ended);
}

std::int64_t Scoreboard::age() const {
  const Nanoseconds age = read_clock(CLOCK_MONOTONIC_COARSE) - header().created;
  return std::max<Nanoseconds>(age, 0) / kMillisecond;  // the coarse clock is behind
}

}  // namespace kilofork
