#include "load/client_texts.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <tuple>

#include "base/escape.hpp"

namespace kilofork {

namespace {

constexpr std::size_t kDetailBytes = 200;
constexpr std::size_t kLongestNumber = 10 + 1 + 20;  // digits of 32 bits, a point, of 64 bits

std::size_t longest(const Template& text) {
  constexpr std::array<char, kLongestNumber> any{};
  return text.size({.pid = {any.data(), std::tuple_size_v<decltype(Client::pid)>},
                    .user = {},
                    .message = {},
                    .n = {any.data(), any.size()}});
}

}  // namespace

ClientTexts::ClientTexts(const LoadOptions& options)
    : options_(options), buffer_(std::max(longest(options.request), longest(options.reply))) {}

// {n} is the client's number; with several requests per client, a point and the request's number
// follow.
std::string_view ClientTexts::render(const Template& text, std::uint32_t index,
                                     const Client& client) {
  std::array<char, kLongestNumber> n{};
  char* end = std::to_chars(n.data(), n.data() + 10, options_.first_number + index).ptr;
  if (options_.requests != 1) {
    *end++ = '.';
    end = std::to_chars(end, n.data() + n.size(), client.request).ptr;
  }
  const Template::Values values{.pid = {client.pid.data(), client.pid_length},
                                .user = {},
                                .message = {},
                                .n = {n.data(), static_cast<std::size_t>(end - n.data())}};
  const char* const text_end = text.render(values, buffer_.data());
  return {buffer_.data(), static_cast<std::size_t>(text_end - buffer_.data())};
}

std::string quoted(std::string_view text) {
  std::string escaped(std::min(text.size(), kDetailBytes) * kLongestEscape, '\0');
  escaped.resize(static_cast<std::size_t>(escape(text.substr(0, kDetailBytes), escaped.data()) -
                                          escaped.data()));
  return '"' + escaped + '"';
}

}  // namespace kilofork
