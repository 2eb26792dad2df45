#include "base/escape.hpp"

#include <array>
#include <random>

#include "check.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;

std::string escaped(std::string_view text) {
  std::string out(text.size() * kLongestEscape, '?');
  out.resize(static_cast<std::size_t>(escape(text, out.data()) - out.data()));
  return out;
}

std::string hex(std::uint8_t byte) {
  constexpr std::string_view kHex = "0123456789abcdef";
  return {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
}

std::string all_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += hex(static_cast<std::uint8_t>(c));
  return out;
}

// Undoes the escapes, as a reader of the log does.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i++) {
    if (text[i] != '\\') {
      out += text[i];
    } else if (text[i + 1] == 'x') {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 3;
    } else {
      out += text[++i];
    }
  }
  return out;
}

// UTF-8 by arithmetic, so that it shares no table with the code under test.
std::string encoded(std::uint32_t code) {
  const auto tail = [code](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

TEST("each single byte stays, gets a backslash, or becomes hexadecimal") {
  for (int i = 0; i < 256; i++) {
    const std::string text(1, static_cast<char>(i));
    if (i == '"' || i == '\\')
      CHECK_EQ(escaped(text), "\\" + text);
    else if (i >= 0x20 && i < 0x7f)
      CHECK_EQ(escaped(text), text);
    else
      CHECK_EQ(escaped(text), hex(static_cast<std::uint8_t>(i)));
  }
}

TEST("empty text stays empty") {
  CHECK_EQ(escaped(""), "");
}

TEST("every character of Unicode stays, except controls, quotes and surrogates") {
  for (std::uint32_t code = 0; code < 0x120000; code++) {
    const std::string text = encoded(code);
    const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const bool is_surrogate = code >= 0xd800 && code < 0xe000;
    if (code == '"' || code == '\\')
      CHECK_EQ(escaped(text), "\\" + text);
    else if (is_control || is_surrogate || code > 0x10ffff)
      CHECK_EQ(escaped(text), all_hex(text));
    else
      CHECK_EQ(escaped(text), text);
  }
}

TEST("overlong forms are escaped") {
  for (const std::string& overlong :
       {"\xc0\x80"s, "\xc0\xaf"s, "\xc1\xbf"s, "\xc0\xa2"s, "\xe0\x80\x80"s, "\xe0\x80\xa2"s,
        "\xe0\x9f\xbf"s, "\xf0\x80\x80\x8a"s, "\xf0\x8f\xbf\xbf"s, "\xf8\x88\x80\x80\x80"s})
    CHECK_EQ(escaped(overlong), all_hex(overlong));
}

TEST("an incomplete character is escaped, at the end and before other text") {
  for (const std::string& whole : {"\u00e9"s, "\u20ac"s, "\U0001f600"s}) {
    for (std::size_t length = 1; length < whole.size(); length++) {
      const std::string cut = whole.substr(0, length);
      // The memory behind the text is not read.
      CHECK_EQ(escaped(std::string_view(whole).substr(0, length)), all_hex(cut));
      CHECK_EQ(escaped(cut + "a\"" + whole), all_hex(cut) + "a\\\"" + whole);
      CHECK_EQ(escaped(cut + whole), all_hex(cut) + whole);
    }
  }
}

TEST("continuation bytes without their first byte are escaped") {
  CHECK_EQ(escaped("\x80\xbf\u00e9\x80"), "\\x80\\xbf\u00e9\\x80");
}

TEST("control sequences of a terminal are escaped") {
  CHECK_EQ(escaped("\x1b[31m"), "\\x1b[31m");
  CHECK_EQ(escaped("\xc2\x9b[31m"), "\\xc2\\x9b[31m");
  CHECK_EQ(escaped("a\nb\rc\0d"s), "a\\x0ab\\x0dc\\x00d");
}

TEST("text that looks escaped is escaped again, so that the escapes can be undone") {
  CHECK_EQ(escaped(R"(\x41)"), R"(\\x41)");
  CHECK_EQ(escaped(R"(\")"), R"(\\\")");
}

TEST(
    "escapes of random bytes can be undone, take at most four bytes each, and hide no control "
    "byte") {
  std::mt19937 random(17);
  const std::array<std::string_view, 6> pieces{"\"", "\\", "\\x41", "\u20ac", "\xed\xa0\x80", "\n"};
  for (int round = 0; round < 20000; round++) {
    std::string text;
    for (auto length = random() % 40; length > 0; length--) {
      if (random() % 3 == 0)
        text += pieces.at(random() % pieces.size());
      else
        text += static_cast<char>(random() % 256);
    }
    const std::string shown = escaped(text);
    CHECK(shown.size() <= text.size() * kLongestEscape);
    CHECK_EQ(unescaped(shown), text);
    bool after_backslash = false;
    for (const char c : shown) {
      CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
      CHECK(c != '"' || after_backslash);
      after_backslash = c == '\\' && !after_backslash;
    }
  }
}

}  // namespace
}  // namespace kilofork
