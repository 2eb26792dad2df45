// The settings of a supervisor: what the front sends before `start`, one line each, as in
// "max-line 1024". A table in settings.cpp has each name, how the value is parsed, and where it
// goes. src/serve/settings.ts has the same names, and test/settings.test.ts compares them. No
// setting has a default here. Runs in the supervisor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/pool_bounds.hpp"
#include "child/service.hpp"

namespace kilofork {

struct PoolSettings {
  Service service{};
  PoolBounds bounds{};
  bool spooled = false;              // the log is a spool: see log/spool.hpp
  std::size_t bytes_per_child = 0;   // memory that a child takes
  std::size_t memory_reserve = 0;    // bytes that growth leaves free
  std::uint32_t log_epoch = 0;       // of the log that the supervisor is started with
  Nanoseconds grace = 0;             // from an order to stop until requests are aborted
  Nanoseconds first_back_off = 0;    // before the next fork, after a child that died at birth;
  Nanoseconds longest_back_off = 0;  // doubled each time, up to this
};

// Parses all settings. `slots`: of the segment. Throws SystemError, EINVAL, with the name of a
// setting that is unknown, malformed, missing or out of range.
PoolSettings parse_settings(std::span<const std::string> lines, std::size_t slots);

// Applies one line. False if there is no such setting, or its value is malformed.
bool apply_setting(PoolSettings& settings, std::string_view line);

// The names, in the order of the table.
std::vector<std::string_view> setting_names();

}  // namespace kilofork
