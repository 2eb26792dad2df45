// Lines of words and numbers, as front and supervisor exchange them.
#pragma once

#include <charconv>
#include <string_view>

namespace kilofork {

// Takes the first word off a line.
inline std::string_view take_token(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  return word;
}

// False: the text is anything but a number that fits.
template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace kilofork
