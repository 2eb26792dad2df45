// A small test framework. TEST("a sentence") { … } defines a test; a CHECK that does not hold ends
// it. main() is in check.cpp: it runs each test in a process of its own, and cleans up after it.
#pragma once

#include <concepts>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace kilofork::check {

struct Test {
  Test(const char* its_sentence, void (*its_body)());  // registers the test
  const char* sentence;
  void (*run)();
};

[[noreturn]] void fail_at(const char* file, int line, const std::string& what);
std::string quote(std::string_view text);  // escaped, so that every byte can be seen
template <typename T>
std::string show(const T& value) {
  if constexpr (std::convertible_to<T, std::string_view>)
    return quote(value);
  else if constexpr (std::is_enum_v<T>)
    return std::to_string(static_cast<int>(value));
  else
    return (std::ostringstream() << value).str();
}

template <typename T>
concept Number = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

template <typename A, typename B>
void equal(const A& a, const B& b, const char* texts, const char* file, int line) {
  bool same = false;
  if constexpr (Number<A> && Number<B>)
    same = std::cmp_equal(a, b);
  else
    same = a == b;
  if (!same) fail_at(file, line, std::string(texts) + "\n    " + show(a) + "\n    " + show(b));
}

}  // namespace kilofork::check

#define CHECK_JOIN_(a, b) a##b
#define CHECK_NAME_(a, b) CHECK_JOIN_(a, b)
#define TEST(sentence)                                                     \
  static void CHECK_NAME_(test_, __LINE__)();                              \
  static const ::kilofork::check::Test CHECK_NAME_(registered_, __LINE__){ \
      sentence, CHECK_NAME_(test_, __LINE__)};                             \
  static void CHECK_NAME_(test_, __LINE__)()
#define CHECK(condition) \
  ((condition) ? void() : ::kilofork::check::fail_at(__FILE__, __LINE__, #condition))
#define CHECK_EQ(a, b) ::kilofork::check::equal(a, b, #a " == " #b, __FILE__, __LINE__)
