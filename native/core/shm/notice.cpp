#include "shm/notice.hpp"

#include <algorithm>
#include <cstring>

namespace kilofork {

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
  return std::string(bytes.data(), ::strnlen(bytes.data(), bytes.size()));
}

}  // namespace kilofork
