// Why a child was forked, told to leave, or ended: one list for the log, for shared memory and for
// the record of spawns. The successor of a child that ended is forked for the same cause.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kilofork {

enum class Cause : std::uint8_t {
  // of a fork
  start,      // one of the first
  spare_low,  // fewer idle children than wished for
  queue,      // clients wait whom nobody is about to accept
  // of an end by an order
  idle,      // more idle children than wished for
  recycled,  // it has served as many requests as a child may
  replaced,  // all children are being replaced
  asked,     // somebody else sent it SIGTERM
  stopped,   // the server stops
  // of a death
  cut,           // the server could not wait for its request
  crashed,       // it went wrong by itself: SIGSEGV, an unknown exit
  killed,        // by a signal from outside
  sick,          // it could not accept
  work_timeout,  // its request took too long
  orphaned,      // it ended with its supervisor
};
constexpr std::size_t kCauses = 14;

std::string_view name_of(Cause cause);
std::optional<Cause> cause_named(std::string_view name);
// A death: an end that nobody ordered.
constexpr bool is_death(Cause cause) {
  return cause >= Cause::cut;
}

}  // namespace kilofork
