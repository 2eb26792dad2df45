// The text between the quotes of a record: nothing in it can end the quotes, the record or the
// line, or reach a terminal as a control sequence. `"` and `\` get a backslash; control bytes,
// the C1 controls of Unicode and bytes that are not UTF-8 become \xNN. Nothing is lost.
#pragma once

#include <cstddef>
#include <string_view>

namespace kilofork {

// The longest escape of one byte.
constexpr std::size_t kLongestEscape = 4;

// Writes the escaped text, at most kLongestEscape bytes for each of its bytes; returns its end.
char* escape(std::string_view text, char* out);

}  // namespace kilofork
