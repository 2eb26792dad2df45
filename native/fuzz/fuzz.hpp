// What the fuzz targets share. Each target defines LLVMFuzzerTestOneInput(), which libFuzzer's
// main() calls again and again in one process. A REQUIRE that does not hold ends the process, and
// libFuzzer keeps the input. The oracles share no code with what they test.
#pragma once

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace kilofork::fuzz {

[[noreturn]] inline void fail_at(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  std::abort();
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// How many of the first 64 descriptors are open: leaks show there.
inline std::ptrdiff_t open_descriptors() {
  std::array<pollfd, 64> all{};
  for (std::size_t i = 0; i < all.size(); i++) all.at(i).fd = static_cast<int>(i);
  ::poll(all.data(), all.size(), 0);
  return std::count_if(all.begin(), all.end(),
                       [](const pollfd& one) { return (one.revents & POLLNVAL) == 0; });
}

}  // namespace kilofork::fuzz

#define REQUIRE(condition) \
  ((condition) ? void() : ::kilofork::fuzz::fail_at(__FILE__, __LINE__, #condition))
