// The texts that a child fills in for its clients: greeting and reply. Runs in a child. Texts and
// records of the log are built in one buffer, so each is valid until the next text or record only.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "child/service.hpp"

namespace kilofork {

class Texts {
 public:
  // The size of that buffer.
  static std::size_t buffer_bytes(const Service& service);

  Texts(const Service& service, pid_t pid, std::span<char> buffer);

  std::string_view greeting();
  std::string_view reply(const Request& request);

 private:
  std::string_view render(const Template& text, const Template::Values& values);

  const Service& service_;
  const std::span<char> buffer_;
  std::array<char, 12> pid_text_{};
  std::string_view pid_;
};

}  // namespace kilofork
