#include "base/protocol.hpp"

#include <algorithm>

namespace kilofork {

namespace {

std::string_view value_of(Template::Field field, const Template::Values& values) {
  switch (field) {
    case Template::Field::pid:
      return values.pid;
    case Template::Field::user:
      return values.user;
    case Template::Field::message:
      return values.message;
    case Template::Field::n:
      return values.n;
    case Template::Field::none:
      break;
  }
  return {};
}

Template::Field field_named(std::string_view name) {
  if (name == "pid") return Template::Field::pid;
  if (name == "user") return Template::Field::user;
  if (name == "message") return Template::Field::message;
  if (name == "n") return Template::Field::n;
  return Template::Field::none;
}

}  // namespace

std::string_view name_of(Refusal refusal) {
  return kRefusalNames.at(static_cast<std::size_t>(refusal));
}

std::optional<Refusal> refusal_named(std::string_view name) {
  const auto* found = std::find(kRefusalNames.begin(), kRefusalNames.end(), name);
  if (found == kRefusalNames.end()) return std::nullopt;
  return static_cast<Refusal>(found - kRefusalNames.begin());
}

std::optional<Request> parse_request(std::string_view line, bool ended) {
  if (ended && line.ends_with('\r')) line.remove_suffix(1);
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon > kLongestUser) return std::nullopt;
  return Request{.user = line.substr(0, colon), .message = line.substr(colon + 1)};
}

Template::Template(std::string_view text) {
  std::string literal;
  while (!text.empty()) {
    if (text.starts_with("{{")) {
      literal += '{';
      text.remove_prefix(2);
      continue;
    }
    const std::size_t close = text.front() == '{' ? text.find('}') : std::string_view::npos;
    const Field field =
        close == std::string_view::npos ? Field::none : field_named(text.substr(1, close - 1));
    if (field == Field::none) {
      literal += text.front();
      text.remove_prefix(1);
    } else {
      parts_.push_back({.literal = std::move(literal), .field = field});
      literal.clear();
      text.remove_prefix(close + 1);
    }
  }
  if (!literal.empty()) parts_.push_back({.literal = std::move(literal), .field = Field::none});
}

std::size_t Template::size(const Values& values) const {
  std::size_t size = 0;
  for (const Part& part : parts_) size += part.literal.size() + value_of(part.field, values).size();
  return size;
}

char* Template::render(const Values& values, char* out) const {
  for (const Part& part : parts_) {
    out = std::copy(part.literal.begin(), part.literal.end(), out);
    const std::string_view value = value_of(part.field, values);
    out = std::copy(value.begin(), value.end(), out);
  }
  return out;
}

}  // namespace kilofork
