// Fuzzes the parser of requests, and the rendering of templates with the values that it finds.
//
// Input: a line as a client sends it, up to its newline or the end; after the newline, a template.
#include "base/protocol.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fuzz.hpp"

namespace {

using kilofork::Request;
using kilofork::Template;

constexpr std::string_view kReply = "server {pid} recvd message \"{message}\" from user {user}\n";
constexpr std::string_view kPid = "4194304";
constexpr std::string_view kNumber = "17";

// The rules of docs/protocol.md, byte by byte.
std::optional<Request> expected_request(std::string_view line, bool ended) {
  std::size_t end = line.size();
  if (ended && end > 0 && line[end - 1] == '\r') end--;
  for (std::size_t i = 0; i < end; i++) {
    if (line[i] != ':') continue;
    if (i < 1 || i > 31) return std::nullopt;
    return Request{.user = {line.data(), i}, .message = {line.data() + i + 1, end - i - 1}};
  }
  return std::nullopt;
}

std::string expected_rendering(std::string_view text, const Template::Values& values) {
  const std::array<std::pair<std::string_view, std::string_view>, 5> replacements{
      {{"{{", "{"},
       {"{pid}", values.pid},
       {"{user}", values.user},
       {"{message}", values.message},
       {"{n}", values.n}}};
  std::string out;
  while (!text.empty()) {
    const auto* found = replacements.end();
    if (text[0] == '{')
      found = std::find_if(replacements.begin(), replacements.end(),
                           [text](const auto& pair) { return text.starts_with(pair.first); });
    if (found == replacements.end()) {
      out += text[0];
      text.remove_prefix(1);
    } else {
      out += found->second;
      text.remove_prefix(found->first.size());
    }
  }
  return out;
}

// Renders into memory of exactly size() bytes, so that AddressSanitizer finds a byte too many.
std::string rendered(const Template& text, const Template::Values& values) {
  std::vector<char> out(text.size(values));
  const char* const end = text.render(values, out.data());
  REQUIRE(end == out.data() + out.size());
  return {out.begin(), out.end()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = kilofork::fuzz::text_of(data, size);
  const std::size_t newline = input.find('\n');
  const bool ended = newline != std::string_view::npos;
  const std::string_view line = input.substr(0, newline);

  const auto request = kilofork::parse_request(line, ended);
  const auto expected = expected_request(line, ended);
  REQUIRE(request.has_value() == expected.has_value());
  Template::Values values{.pid = kPid, .user = {}, .message = {}, .n = kNumber};
  if (request) {
    REQUIRE(request->user == expected->user);
    REQUIRE(request->message == expected->message);
    values.user = request->user;
    values.message = request->message;
  }
  const std::string_view behind = ended ? input.substr(newline + 1) : std::string_view{};
  for (const std::string_view text : {kReply, behind})
    REQUIRE(rendered(Template(text), values) == expected_rendering(text, values));
  return 0;
}
