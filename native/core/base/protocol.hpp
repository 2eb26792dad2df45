// The grammar of a request, and templates for the texts around it. docs/protocol.md has the rules;
// this parser and the one in TypeScript are tested against test/protocol-vectors.json. TypeScript
// provides the texts as data, so none of them stands here.
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
  protocol,       // not <username>:<message>
  unauthorized,   // not a user
  too_long,       // no newline within the longest line
  timeout,        // no complete line in time
  unavailable,    // a record could not be written, or may not be on disk
  shutting_down,  // the server is being stopped
  busy,           // its address has the maximum number of connections
};
// The names of the refusals on the wire and in the log.
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

// Parses a line, given without its newline. `ended`: the line had one; then one carriage return
// before it is dropped. Empty if the line is no request. The views point into `line`.
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
  // A brace that does not begin a field is a brace; so is "{{", which never begins one.
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
