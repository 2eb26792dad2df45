#include "shm/user_table.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace kilofork {

namespace {

using Key = std::array<std::uint64_t, 4>;

// Keys compare as their bytes do. They contain the length, so that "ab" and "ab\0" differ.
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

}  // namespace

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
    assert(!name.empty() && name.size() <= kLongestUser);
    keys.push_back(pack_name(name));
  }
  std::sort(keys.begin(), keys.end());

  const auto next = head().version.load(std::memory_order_relaxed) + 1;
  // Readers of the version before the last must see the new version before its table changes.
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
  if (name.empty() || name.size() > kLongestUser) return false;
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
    // If the version is still the same, nobody has written to this table meanwhile.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (head().version.load(std::memory_order_relaxed) == version) return found;
  }
}

}  // namespace kilofork
