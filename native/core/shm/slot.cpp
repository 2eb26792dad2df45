#include "shm/slot.hpp"

namespace kilofork {

namespace {

// The word: the pid in 22 bits (Linux has no larger one), the state in 4, the time in 38 (8.7 years
// of milliseconds).
constexpr int kStateShift = 38;
constexpr int kPidShift = 42;
constexpr std::uint64_t kSinceMask = (std::uint64_t{1} << kStateShift) - 1;

std::uint64_t pack(pid_t pid, State state, std::int64_t since) {
  return static_cast<std::uint64_t>(pid) << kPidShift |
         static_cast<std::uint64_t>(state) << kStateShift |
         (static_cast<std::uint64_t>(since) & kSinceMask);
}

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(Slot) == 128);

}  // namespace

// Sequentially consistent: see Intake::admits().
void PeerAddress::set(const std::array<std::uint64_t, 2>& address) {
  words[0].store(address[0]);
  words[1].store(address[1]);
}

std::array<std::uint64_t, 2> PeerAddress::get() const {
  return {words[0].load(), words[1].load()};
}

Occupancy Slot::occupancy() const {
  const auto packed = word.load(std::memory_order_acquire);
  return {.pid = static_cast<pid_t>(packed >> kPidShift),
          .state = static_cast<State>(packed >> kStateShift & 0xf),
          .since = static_cast<std::int64_t>(packed & kSinceMask)};
}

void Slot::enter(pid_t pid, State state, std::int64_t since) {
  word.store(pack(pid, state, since), std::memory_order_release);
}

bool Slot::claim(std::uint64_t reserved, pid_t pid) {
  const auto since = static_cast<std::int64_t>(reserved & kSinceMask);
  return word.compare_exchange_strong(reserved, pack(pid, State::starting, since));
}

bool Slot::give_up(std::uint64_t reserved, std::int64_t since) {
  return word.compare_exchange_strong(reserved, pack(0, State::vacant, since));
}

}  // namespace kilofork
