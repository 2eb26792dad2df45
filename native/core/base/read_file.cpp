#include "base/read_file.hpp"

#include <fcntl.h>

#include <array>

#include "base/fd.hpp"

namespace kilofork {

std::string read_file(const std::string& path) {
  std::string text;
  std::array<char, 4096> part{};
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  for (ssize_t got = 0; (got = ::read(fd.get(), part.data(), part.size())) > 0;)
    text.append(part.data(), static_cast<std::size_t>(got));
  return text;
}

}  // namespace kilofork
