#include "shm/scoreboard.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace kilofork {

namespace {

constexpr std::uint64_t kMagic = 0x6b696c6f666f726b;  // "kilofork"
constexpr std::size_t kPage = 4096;

// The word of a slot: pid in 22 bits (the most that Linux allows), state in 4, time in 38
// (8.7 years of milliseconds).
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
  return round_up(peers_offset(slots, users) + slots * sizeof(std::atomic<std::uint64_t>), kPage);
}

using Key = std::array<std::uint64_t, 4>;

// Compares as the bytes would, and holds the length, so that "ab" and "ab\0" differ.
Key pack_name(std::string_view name) {
  std::array<char, 32> bytes{};
  std::copy(name.begin(), name.end(), bytes.begin());
  bytes[31] = static_cast<char>(name.size());
  Key key{};
  std::memcpy(key.data(), bytes.data(), sizeof key);
  if constexpr (std::endian::native == std::endian::little)
    for (auto& word : key) word = __builtin_bswap64(word);
  return key;
}

template <std::size_t N>
void copy_text(std::array<char, N>& to, const std::string& from) {
  std::copy_n(from.begin(), std::min(from.size(), N - 1), to.begin());
}

}  // namespace

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

std::size_t UserTable::bytes(std::uint32_t capacity) {
  return (1 + std::size_t{2} * capacity) * sizeof(Name);  // the head takes the place of one name
}

UserTable::Name* UserTable::table(std::uint64_t version) const {
  static_assert(sizeof(Head) <= sizeof(Name));
  return reinterpret_cast<Name*>(memory_) + 1 + (version & 1) * capacity_;
}

void UserTable::replace(const std::vector<std::string>& names) {
  assert(names.size() <= capacity_);
  std::vector<Key> keys;
  for (const auto& name : names) {
    assert(!name.empty() && name.size() <= kLongestName);
    keys.push_back(pack_name(name));
  }
  std::sort(keys.begin(), keys.end());

  const auto next = head().version.load(std::memory_order_relaxed) + 1;
  // Readers of the last version but one must see that it is over before its table changes.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Name* name = table(next);
  for (const auto& key : keys) {
    for (std::size_t i = 0; i < key.size(); i++)
      name->words[i].store(key[i], std::memory_order_relaxed);
    name++;
  }
  head().count[next & 1].store(static_cast<std::uint32_t>(keys.size()), std::memory_order_relaxed);
  head().version.store(next, std::memory_order_release);
}

bool UserTable::contains(std::string_view name) const {
  if (name.empty() || name.size() > kLongestName) return false;
  const Key wanted = pack_name(name);
  for (;;) {
    const auto version = head().version.load(std::memory_order_acquire);
    const Name* names = table(version);
    std::size_t low = 0;
    std::size_t high = head().count[version & 1].load(std::memory_order_relaxed);
    bool found = false;
    while (low < high && !found) {
      const std::size_t middle = (low + high) / 2;
      Key key{};
      for (std::size_t i = 0; i < key.size(); i++)
        key[i] = names[middle].words[i].load(std::memory_order_relaxed);
      found = key == wanted;
      if (key < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    // The table was not written to while we read it when the version is still the same.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (head().version.load(std::memory_order_relaxed) == version) return found;
  }
}

void Notice::put(std::string_view text) {
  std::array<char, kBytes> bytes{};
  std::copy_n(text.begin(), std::min(text.size(), kBytes - 1), bytes.begin());
  const auto sequence = sequence_.load(std::memory_order_relaxed);
  sequence_.store(sequence + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < words_.size(); i++) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i * sizeof word, sizeof word);
    words_[i].store(word, std::memory_order_relaxed);
  }
  sequence_.store(sequence + 2, std::memory_order_release);
}

std::optional<std::string> Notice::get() const {
  const auto sequence = sequence_.load(std::memory_order_acquire);
  std::array<char, kBytes> bytes{};
  for (std::size_t i = 0; i < words_.size(); i++) {
    const std::uint64_t word = words_[i].load(std::memory_order_relaxed);
    std::memcpy(bytes.data() + i * sizeof word, &word, sizeof word);
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  if (sequence % 2 != 0 || sequence_.load(std::memory_order_relaxed) != sequence)
    return std::nullopt;
  return std::string(bytes.data());
}

Scoreboard Scoreboard::create(const std::string& name, std::uint32_t slots, std::uint32_t users,
                              const Identity& identity) {
  const std::size_t bytes = segment_bytes(slots, users);
  Fd fd;
  for (;;) {
    fd.reset(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) fail("shm_open " + name);
    struct stat status {};
    if (::flock(fd.get(), LOCK_SH) == 0 && ::fstat(fd.get(), &status) == 0 && status.st_nlink > 0)
      break;
    // A sweeper came between the two calls and took it for abandoned: make another.
  }
  try {
    // Allocated now: a full tmpfs must be an error here, not a SIGBUS in a child later.
    if (const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); error != 0)
      throw SystemError("allocate " + std::to_string(bytes) + " bytes for " + name, error);
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (memory == MAP_FAILED) fail("mmap " + name);
    Scoreboard board(std::move(fd), {static_cast<std::byte*>(memory), bytes});
    Header& header = board.header();  // the memory is zero: every slot is vacant
    header.version = Scoreboard::kVersion;
    header.header_bytes = sizeof(Header);
    header.slot_bytes = sizeof(Slot);
    header.slot_count = slots;
    header.user_capacity = users;
    header.front = ::getpid();
    header.port = identity.port;
    header.backlog = identity.backlog;
    header.start = static_cast<std::uint32_t>(identity.limits.start);
    header.min_spare = static_cast<std::uint32_t>(identity.limits.min_spare);
    header.max_spare = static_cast<std::uint32_t>(identity.limits.max_spare);
    header.synced = identity.synced ? 1 : 0;
    header.pid_namespace = pid_namespace();
    header.created = monotonic_now();
    header.created_realtime = realtime_now();
    copy_text(header.host, identity.host);
    copy_text(header.address, identity.address);
    copy_text(header.log, identity.log);
    copy_text(header.release, identity.release);
    std::atomic_ref(header.magic).store(kMagic, std::memory_order_release);
    return board;
  } catch (...) {
    ::shm_unlink(name.c_str());
    throw;
  }
}

Scoreboard Scoreboard::map(Fd fd, bool writable) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) fail("fstat of the shared memory");
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < kPage)
    throw SystemError("shared memory of " + std::to_string(bytes) + " bytes", EPROTO);
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) fail("mmap of the shared memory");
  Scoreboard board(std::move(fd), {static_cast<std::byte*>(memory), bytes});
  Header& header = board.header();
  if (std::atomic_ref(header.magic).load(std::memory_order_acquire) != kMagic ||
      header.version != kVersion || header.header_bytes != sizeof(Header) ||
      header.slot_bytes != sizeof(Slot) ||
      segment_bytes(header.slot_count, header.user_capacity) != bytes)
    throw SystemError("shared memory of another version", EPROTO);
  return board;
}

Scoreboard Scoreboard::open(const std::string& name, bool writable) {
  Fd fd(::shm_open(name.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0));
  if (!fd) fail("shm_open " + name);
  if (writable && ::flock(fd.get(), LOCK_SH) != 0) fail("flock " + name);
  return map(std::move(fd), writable);
}

bool Scoreboard::sweep(const std::string& name) {
  const Fd fd(::shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return false;
  struct stat status {};  // removed before we had the lock: the name may be another's by now
  if (::fstat(fd.get(), &status) != 0 || status.st_nlink == 0) return false;
  return ::shm_unlink(name.c_str()) == 0;
}

std::uint64_t Scoreboard::pid_namespace() {
  struct stat status {};
  return ::stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

bool Scoreboard::lives(const std::string& name) {
  const Fd fd(::shm_open(name.c_str(), O_RDONLY | O_CLOEXEC, 0));
  return !fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

void Scoreboard::remove(const std::string& name) {
  if (::shm_unlink(name.c_str()) != 0 && errno != ENOENT) fail("shm_unlink " + name);
}

Scoreboard::Scoreboard(Scoreboard&& other) noexcept
    : fd_(std::move(other.fd_)), memory_(std::exchange(other.memory_, {})) {}

Scoreboard::~Scoreboard() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

UserTable Scoreboard::users() const {
  return {memory_.data() + users_offset(), header().user_capacity};
}

std::span<Slot> Scoreboard::slots() const {
  const auto offset = slots_offset(header().user_capacity);
  return {reinterpret_cast<Slot*>(memory_.data() + offset), header().slot_count};
}

std::span<std::atomic<std::uint64_t>> Scoreboard::peers() const {
  const auto offset = peers_offset(header().slot_count, header().user_capacity);
  return {reinterpret_cast<std::atomic<std::uint64_t>*>(memory_.data() + offset),
          header().slot_count};
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
  peers()[slot].store(0, std::memory_order_relaxed);
  slots()[slot].enter(0, State::vacant, age());
}

void Scoreboard::count_orphans() {
  const auto sum = [](const auto& counts) {
    std::uint64_t all = 0;
    for (const auto& count : counts) all += count.load();
    return all;
  };
  // A supervisor that is killed may have counted an end, and not freed the slot: so, by the sums.
  header().ended.at(static_cast<std::size_t>(Cause::orphaned)) +=
      sum(header().forked) - sum(header().ended);
}

std::int64_t Scoreboard::age() const {
  const Nanoseconds age = read_clock(CLOCK_MONOTONIC_COARSE) - header().created;
  return std::max<Nanoseconds>(age, 0) / kMillisecond;  // the coarse clock is behind
}

}  // namespace kilofork
