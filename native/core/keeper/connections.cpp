#include "keeper/connections.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "base/error.hpp"

namespace kilofork {

namespace {

std::span<char> map_blocks(std::size_t bytes) {
  constexpr int kKind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kKind, -1, 0);
  if (memory == MAP_FAILED) fail("mmap for what is held of connections");
  return {static_cast<char*>(memory), bytes};
}

}  // namespace

Connections::Connections(std::size_t most, std::size_t longest_held,
                         std::array<Nanoseconds, 4> limits)
    : table_(most),
      addresses_(most),
      longest_held_(longest_held),
      blocks_(map_blocks(most * longest_held)),
      queue_(most),
      limits_(limits) {
  free_.reserve(most);
  free_blocks_.reserve(most);
}

Connections::~Connections() {
  ::munmap(blocks_.data(), blocks_.size());
}

std::uint32_t Connections::add(int fd, const Address& address) {
  std::uint32_t index = first_unused_;
  if (free_.empty()) {
    first_unused_++;
  } else {
    index = free_.back();
    free_.pop_back();
  }
  count_++;
  table_[index] = {.fd = fd, .state = KeptConnection::State::waiting};
  addresses_[index] = address;
  return index;
}

void Connections::remove(std::uint32_t index) {
  end_limit(index);
  drop_held(table_[index]);
  table_[index] = {};
  addresses_[index] = {};
  free_.push_back(index);
  count_--;
}

std::size_t Connections::count_of(const Address& address) const {
  return static_cast<std::size_t>(
      std::count(addresses_.begin(), addresses_.begin() + first_unused_, address));
}

// ---- what is held -------------------------------------------------------------------------------

std::span<const char> Connections::held(std::uint32_t index) const {
  const KeptConnection& connection = table_[index];
  return blocks_.subspan(connection.held_at * longest_held_, connection.held);
}

bool Connections::hold(std::uint32_t index, std::span<const char> bytes) {
  KeptConnection& connection = table_[index];
  if (bytes.size() > longest_held_) return false;
  drop_held(connection);
  if (bytes.empty()) return true;
  if (free_blocks_.empty()) {
    connection.held_at = first_unused_block_++;
  } else {
    connection.held_at = free_blocks_.back();
    free_blocks_.pop_back();
  }
  connection.held = static_cast<std::uint16_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(),
            blocks_.begin() + static_cast<std::ptrdiff_t>(connection.held_at * longest_held_));
  return true;
}

void Connections::drop_held(KeptConnection& connection) {
  if (connection.held > 0) free_blocks_.push_back(connection.held_at);
  connection.held = 0;
}

// ---- the queue ----------------------------------------------------------------------------------

void Connections::make_ready(std::uint32_t index) {
  table_[index].state = KeptConnection::State::ready;
  queue_[(queue_at_ + queued_++) % queue_.size()] = index;
}

void Connections::make_ready_again(std::uint32_t index) {
  table_[index].state = KeptConnection::State::ready;
  queue_at_ = (queue_at_ + queue_.size() - 1) % queue_.size();
  queue_[queue_at_] = index;
  queued_++;
}

std::uint32_t Connections::take_ready() {
  const std::uint32_t index = queue_[queue_at_];
  queue_at_ = (queue_at_ + 1) % queue_.size();
  queued_--;
  return index;
}

// ---- time limits --------------------------------------------------------------------------------

// Each list is in the order of its deadlines: all times of a list are equally long.
void Connections::begin_limit(std::uint32_t index, Limit limit, Nanoseconds now) {
  end_limit(index);
  const Nanoseconds time = limits_.at(static_cast<std::size_t>(limit));
  if (time > 0) resume_limit(index, limit, now + time);
}

void Connections::resume_limit(std::uint32_t index, Limit limit, Nanoseconds deadline) {
  KeptConnection& connection = table_[index];
  List& list = list_of(limit);
  connection.limit = limit;
  connection.deadline = deadline;
  connection.before = list.last;
  connection.after = kNone;
  (list.last == kNone ? list.first : table_[list.last].after) = index;
  list.last = index;
}

void Connections::end_limit(std::uint32_t index) {
  KeptConnection& connection = table_[index];
  if (connection.limit == Limit::none) return;
  List& list = list_of(connection.limit);
  (connection.before == kNone ? list.first : table_[connection.before].after) = connection.after;
  (connection.after == kNone ? list.last : table_[connection.after].before) = connection.before;
  connection.limit = Limit::none;
}

std::optional<std::uint32_t> Connections::take_late(Nanoseconds now) {
  for (const List& list : lists_) {
    const std::uint32_t index = list.first;
    if (index == kNone || table_[index].deadline > now) continue;
    end_limit(index);
    return index;
  }
  return std::nullopt;
}

Nanoseconds Connections::next_deadline() const {
  Nanoseconds next = kNever;
  for (const List& list : lists_)
    if (list.first != kNone) next = std::min(next, table_[list.first].deadline);
  return next;
}

}  // namespace kilofork
