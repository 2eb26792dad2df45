// The grammar of a request, and the texts around it. The rules are written down in
// docs/protocol.md; test/protocol-vectors.json holds this parser and the TypeScript one to them.
// Texts come as data, from TypeScript: there is no word of the protocol in here.
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
  timeout,        // nothing, or half a line, for too long
  unavailable,    // the record could not be written
  shutting_down,  // the server is being stopped
  busy,           // its address has as many connections as one may have
};
constexpr std::size_t kRefusals = 7;

// The names of the refusals on the wire and in the log.
std::string_view name_of(Refusal refusal);
std::optional<Refusal> refusal_named(std::string_view name);

// Bytes of a user's name.
constexpr std::size_t kLongestUser = 31;

struct Request {
  std::string_view user;
  std::string_view message;
};

// Reads a line without its newline. `ended` tells whether there was one: only then a carriage
// return before it is dropped. Nothing: the line is no request.
std::optional<Request> parse_request(std::string_view line, bool ended);

// A text with fields in braces, like "this is server thread {pid}". Rendered into memory that the
// caller brings, without an allocation.
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
  // Braces around anything but a field's name stand for themselves, and "{{" for one brace.
  explicit Template(std::string_view text);

  // The length of the rendering.
  [[nodiscard]] std::size_t size(const Values& values) const;
  // Writes the rendering, returns its end. `out` must have room for size() bytes.
  char* render(const Values& values, char* out) const;
  [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
};

}  // namespace kilofork
