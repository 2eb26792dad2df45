#include "keeper/batch.hpp"

#include <bit>

namespace kilofork {

namespace {

static_assert(sizeof(BatchWord::Value) == sizeof(std::uint64_t));

BatchWord::Value unpack(std::uint64_t word) {
  return std::bit_cast<BatchWord::Value>(word);
}
std::uint64_t pack(BatchWord::Value value) {
  return std::bit_cast<std::uint64_t>(value);
}

}  // namespace

BatchWord::Value BatchWord::get() const {
  return unpack(word_.load(std::memory_order_acquire));
}

void BatchWord::set(std::uint32_t ticket, std::size_t count) {
  word_.store(pack({.ticket = ticket, .next = 0, .end = static_cast<std::uint16_t>(count)}),
              std::memory_order_release);
}

std::size_t BatchWord::take_back() {
  std::uint64_t seen = word_.load(std::memory_order_acquire);
  for (;;) {
    Value value = unpack(seen);
    if (value.next >= value.end) return value.end;
    value.end = value.next;
    if (word_.compare_exchange_weak(seen, pack(value))) return value.next;
  }
}

std::optional<std::size_t> BatchWord::take(std::uint32_t ticket) {
  std::uint64_t seen = word_.load(std::memory_order_acquire);
  for (;;) {
    Value value = unpack(seen);
    if (value.ticket != ticket || value.next >= value.end) return std::nullopt;
    const std::size_t entry = value.next++;
    if (word_.compare_exchange_weak(seen, pack(value))) return entry;
  }
}

}  // namespace kilofork
