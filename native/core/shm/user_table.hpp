// The users that may send requests. The front replaces them while children look names up; neither
// waits for the other.
//
// There are two tables. The lowest bit of the version says which of them is in use. The front
// writes the other one, and then increments the version. A front that dies before has changed
// nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/protocol.hpp"

namespace kilofork {

class UserTable {
 public:
  struct Name {
    std::array<std::atomic<std::uint64_t>, 4> words;  // the bytes and the length, big-endian
  };

  UserTable(std::byte* memory, std::uint32_t capacity) : memory_(memory), capacity_(capacity) {}
  static std::size_t bytes(std::uint32_t capacity);

  // Front. `names`: at most `capacity`, each of 1 to kLongestUser bytes.
  void replace(const std::vector<std::string>& names);
  // Child. The check of a request's user.
  [[nodiscard]] bool contains(std::string_view name) const;

 private:
  struct Head {
    std::atomic<std::uint64_t> version;
    std::array<std::atomic<std::uint32_t>, 2> count;
  };
  [[nodiscard]] Head& head() const { return *reinterpret_cast<Head*>(memory_); }
  [[nodiscard]] Name* table(std::uint64_t version) const;

  std::byte* memory_;
  std::uint32_t capacity_;
};

}  // namespace kilofork
