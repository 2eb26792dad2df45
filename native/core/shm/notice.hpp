// A line of text in shared memory, which one process writes while others read it: a sequence lock.
// Used for the front's answers to orders.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kilofork {

class Notice {
 public:
  static constexpr std::size_t kBytes = 248;

  // The writer. Cuts the text off at kBytes - 1.
  void put(std::string_view text);
  // Any reader. Empty while the text is being written.
  [[nodiscard]] std::optional<std::string> get() const;

 private:
  std::atomic<std::uint64_t> sequence_;  // odd while the text is being written
  std::array<std::atomic<std::uint64_t>, kBytes / 8> words_;
};

}  // namespace kilofork
