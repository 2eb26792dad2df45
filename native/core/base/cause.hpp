// Why a child was forked, was told to leave, or has ended. Log, shared memory and spawn record use
// this list. A successor is forked with the cause of its predecessor's end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kilofork {

enum class Cause : std::uint8_t {
  // of a fork
  start,      // one of the children that the server starts with
  spare_low,  // fewer idle children than --min-spare
  queue,      // clients wait, and no child is about to accept them
  // of an ordered end
  idle,      // more idle children than --max-spare
  recycled,  // has served --max-requests
  replaced,  // all children are being replaced
  asked,     // received SIGTERM from another process than the supervisor
  stopped,   // the server stops
  // of a death
  cut,           // aborted: the server stopped before its request was done
  crashed,       // ended by itself: SIGSEGV, an unknown exit code
  killed,        // ended by a signal from outside
  sick,          // accept(2) failed
  work_timeout,  // its request took longer than --work-timeout
  orphaned,      // ended with its supervisor
};
// The words of the log.
inline constexpr auto kCauseNames = std::to_array<std::string_view>(
    {"start", "spare low", "queue", "idle", "recycled", "replaced", "asked", "stopped", "cut",
     "crashed", "killed", "sick", "work timeout", "orphaned"});
constexpr std::size_t kCauses = kCauseNames.size();
static_assert(kCauses == static_cast<std::size_t>(Cause::orphaned) + 1);

std::string_view name_of(Cause cause);
std::optional<Cause> cause_named(std::string_view name);
// A death is an end that nobody ordered.
constexpr bool is_death(Cause cause) {
  return cause >= Cause::cut;
}

}  // namespace kilofork
