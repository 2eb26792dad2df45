#include "base/escape.hpp"

#include <algorithm>
#include <cstdint>

namespace kilofork {

namespace {

std::uint8_t byte_at(std::string_view text, std::size_t i) {
  return static_cast<std::uint8_t>(text[i]);
}

bool is_plain(std::uint8_t byte) {
  return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

// The length of the printable multi-byte character at i; 0 if the bytes are a C1 control, or are
// not UTF-8. RFC 3629 allows no overlong form, no surrogate, and nothing above U+10FFFF.
std::size_t character_length(std::string_view text, std::size_t i) {
  const std::uint8_t first = byte_at(text, i);
  std::size_t length = 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
    if (first == 0xc2) low = 0xa0;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  }
  if (length == 0 || text.size() - i < length) return 0;
  if (byte_at(text, i + 1) < low || byte_at(text, i + 1) > high) return 0;
  for (std::size_t k = 2; k < length; k++)
    if ((byte_at(text, i + k) & 0xc0) != 0x80) return 0;
  return length;
}

}  // namespace

char* escape(std::string_view text, char* out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::size_t i = 0;
  while (i < text.size()) {
    const std::uint8_t byte = byte_at(text, i);
    std::size_t length = 1;
    if (is_plain(byte)) {
      *out++ = text[i];
    } else if (byte == '"' || byte == '\\') {
      *out++ = '\\';
      *out++ = text[i];
    } else if (const std::size_t found = character_length(text, i); found > 0) {
      length = found;
      out = std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(i), length, out);
    } else {
      *out++ = '\\';
      *out++ = 'x';
      *out++ = kHex[byte >> 4];
      *out++ = kHex[byte & 0xf];
    }
    i += length;
  }
  return out;
}

}  // namespace kilofork
