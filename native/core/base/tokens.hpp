// Parses lines of tokens and numbers that single spaces separate, as the control channel and the
// exec state have them.
#pragma once

#include <charconv>
#include <string_view>

namespace kilofork {

// Removes the first token from the line and returns it.
inline std::string_view take_token(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view token = line.substr(0, space);
  line = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  return token;
}

// False if the text is anything but one number that fits.
template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace kilofork
