// What the fuzz targets share. Each defines LLVMFuzzerTestOneInput(), which libFuzzer's main()
// calls in one process, again and again; what a REQUIRE finds broken ends that process, and
// libFuzzer keeps the input. The oracles share no code with what they judge.
#pragma once

#include <unistd.h>

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

// The lowest descriptor that is free: it rises when one is leaked.
inline int next_descriptor() {
  const int fd = ::dup(STDERR_FILENO);
  ::close(fd);
  return fd;
}

}  // namespace kilofork::fuzz

#define REQUIRE(condition) \
  ((condition) ? void() : ::kilofork::fuzz::fail_at(__FILE__, __LINE__, #condition))
