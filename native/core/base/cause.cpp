#include "base/cause.hpp"

#include <algorithm>

namespace kilofork {

namespace {
// In the order of Cause.
constexpr std::array<std::string_view, kCauses> kNames{
    "start",   "spare low", "queue",   "idle",   "recycled", "replaced",     "asked",
    "stopped", "cut",       "crashed", "killed", "sick",     "work timeout", "orphaned"};
static_assert(static_cast<std::size_t>(Cause::orphaned) + 1 == kCauses);
}  // namespace

std::string_view name_of(Cause cause) {
  return kNames.at(static_cast<std::size_t>(cause));
}

std::optional<Cause> cause_named(std::string_view name) {
  const auto* const found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Cause>(found - kNames.begin());
}

}  // namespace kilofork
