#include "base/cause.hpp"

#include <algorithm>

namespace kilofork {

std::string_view name_of(Cause cause) {
  return kCauseNames.at(static_cast<std::size_t>(cause));
}

std::optional<Cause> cause_named(std::string_view name) {
  const auto* const found = std::find(kCauseNames.begin(), kCauseNames.end(), name);
  if (found == kCauseNames.end()) return std::nullopt;
  return static_cast<Cause>(found - kCauseNames.begin());
}

}  // namespace kilofork
