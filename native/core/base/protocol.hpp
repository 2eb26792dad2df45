// The grammar of a request, the reasons to refuse one, and templates for the texts around it.
// docs/protocol.md has the rules. This parser and the one in TypeScript are tested against
// test/protocol-vectors.json. The texts themselves are settings, which come from TypeScript.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kilofork {

enum class Refusal : std::uint8_t {
  protocol,       // the line is not <username>:<message>
  unauthorized,   // there is no such user
  too_long,       // no newline within the longest line
  timeout,        // no complete line in time
  unavailable,    // a record could not be written, or may not be on disk
  shutting_down,  // the server is being stopped
  busy,           // the client's address has the maximum number of connections
};
// The names that clients and the log are given.
inline constexpr auto kRefusalNames = std::to_array<std::string_view>(
    {"protocol", "unauthorized", "too-long", "timeout", "unavailable", "shutting-down", "busy"});
constexpr std::size_t kRefusals = kRefusalNames.size();
static_assert(kRefusals == static_cast<std::size_t>(Refusal::busy) + 1);

std::string_view name_of(Refusal refusal);
std::optional<Refusal> refusal_named(std::string_view name);

// In bytes.
constexpr std::size_t kLongestUser = 31;

struct Request {
  std::string_view user;
  std::string_view message;
};

// Parses a line, given without its newline. `ended`: the line had a newline; then one carriage
// return before it is dropped. Empty if the line is no request. The result points into `line`.
std::optional<Request> parse_request(std::string_view line, bool ended);

// A text with fields in braces, like "this is server thread {pid}". Rendering allocates nothing.
class Template {
 public:
  enum class Field : std::uint8_t { none, pid, user, message, n };
  struct Part {
    std::string literal;  // comes before the field
    Field field;
  };
  struct Values {
    std::string_view pid, user, message, n;
  };

  Template() = default;
  // "{{" is a brace that begins no field. Any other brace that begins no field stays as it is.
  explicit Template(std::string_view text);

  // The length of the rendered text.
  [[nodiscard]] std::size_t size(const Values& values) const;
  // Writes the rendered text to `out`, which has room for size() bytes, and returns its end.
  char* render(const Values& values, char* out) const;
  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
};

}  // namespace kilofork
