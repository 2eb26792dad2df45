// The escapes of text between the quotes of a record. Escaped text cannot end the quotes, the
// record or the line, nor contain a control sequence of a terminal. `"` and `\` get a backslash;
// control bytes, the C1 controls of Unicode and bytes that are not UTF-8 become \xNN. src/log
// undoes them without loss. Runs in every process that writes to the log.
#pragma once

#include <cstddef>
#include <string_view>

namespace kilofork {

// The longest escape of one byte.
constexpr std::size_t kLongestEscape = 4;

// Writes the escaped text to `out`, which has room for kLongestEscape bytes per byte of `text`, and
// returns its end.
char* escape(std::string_view text, char* out);

}  // namespace kilofork
