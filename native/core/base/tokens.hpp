// Parses lines of tokens and numbers that single spaces separate, as the control channel and the
// exec state have them; and finds the numbers that the kernel names in its text files.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
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

// The number behind the first `key` of a text; nothing if there is none.
inline std::optional<std::size_t> number_after(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size());
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::size_t number = 0;
  const bool is_number =
      std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc{};
  return is_number ? std::optional(number) : std::nullopt;
}

}  // namespace kilofork
