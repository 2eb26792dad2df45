// How requests of the load client fail.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kilofork {

enum class Failure : std::uint8_t {
  connect,    // no connection
  ungreeted,  // no complete greeting in time
  greeting,   // another text than the greeting
  timeout,    // no complete reply in time
  mismatch,   // another text than the reply
  lost,       // the connection ended before the reply
  unsent,     // never sent: the client gave up after several failed connects
};
inline constexpr auto kFailureNames = std::to_array<std::string_view>(
    {"connect", "ungreeted", "greeting", "timeout", "mismatch", "lost", "unsent"});
constexpr std::size_t kFailures = kFailureNames.size();
static_assert(kFailures == static_cast<std::size_t>(Failure::unsent) + 1);

}  // namespace kilofork
