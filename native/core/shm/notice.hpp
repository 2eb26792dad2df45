// A line of text in shared memory that its one writer changes while others read it.
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

  // Text beyond kBytes - 1 is left out.
  void put(std::string_view text);
  // Nothing while the text is being written.
  [[nodiscard]] std::optional<std::string> get() const;

 private:
  std::atomic<std::uint64_t> sequence_;  // odd while the text is being written
  std::array<std::atomic<std::uint64_t>, kBytes / 8> words_;
};

}  // namespace kilofork
