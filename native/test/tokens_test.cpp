#include "base/tokens.hpp"

#include <cstdint>
#include <string_view>

#include "check.hpp"

namespace kilofork {
namespace {

TEST("tokens are taken off a line one by one, and the rest of the line stays as it is") {
  std::string_view line = "child 17  spare low ";
  CHECK_EQ(take_token(line), "child");
  CHECK_EQ(line, "17  spare low ");
  CHECK_EQ(take_token(line), "17");
  CHECK_EQ(take_token(line), "");
  CHECK_EQ(line, "spare low ");
  CHECK_EQ(take_token(line), "spare");
  CHECK_EQ(take_token(line), "low");
  CHECK_EQ(line, "");
  CHECK_EQ(take_token(line), "");
}

template <typename Number>
bool is_number(std::string_view text, Number expected) {
  Number number{};
  return parse_number(text, number) && number == expected;
}

TEST("a number is understood up to the greatest that fits, and no further") {
  CHECK(is_number<int>("0", 0));
  CHECK(is_number<int>("-2147483648", INT32_MIN));
  CHECK(is_number<std::uint32_t>("4294967295", UINT32_MAX));
  CHECK(is_number<std::uint64_t>("18446744073709551615", UINT64_MAX));
  CHECK(is_number<std::int64_t>("9223372036854775807", INT64_MAX));
  int small = 0;
  std::uint64_t large = 0;
  CHECK(!parse_number("2147483648", small));
  CHECK(!parse_number("18446744073709551616", large));
  CHECK(!parse_number("-1", large));
}

TEST("a text that is more or less than one number is refused") {
  int number = 0;
  for (const char* text : {"", " ", "x", "1x", "x1", " 1", "1 ", "1 2", "+1", "0x1", "1.0", "--1"})
    CHECK(!parse_number(text, number));
}

}  // namespace
}  // namespace kilofork
