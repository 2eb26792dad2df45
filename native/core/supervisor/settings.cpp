#include "supervisor/settings.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "base/protocol.hpp"
#include "base/tokens.hpp"

namespace kilofork {

namespace {

bool parse_duration(std::string_view value, Nanoseconds& duration) {
  return parse_number(value, duration) && duration >= 0;
}

bool parse_work(std::string_view value, Work& work) {
  const std::string_view kind = take_token(value);
  if (kind == "none") {
    work = {.kind = Work::Kind::none, .duration = 0};
    return value.empty();
  }
  if (kind != "sleep" && kind != "spin") return false;
  work.kind = kind == "sleep" ? Work::Kind::sleep : Work::Kind::spin;
  return parse_duration(value, work.duration);
}

bool parse_ack(std::string_view value, PoolSettings& settings) {
  settings.spooled = value == "copied";
  settings.service.synced = settings.spooled || value == "synced";
  return settings.service.synced || value == "written";
}

std::string to_line(std::string_view value) {
  return std::string(value) + '\n';
}

bool parse_template(std::string_view value, Template& text) {
  text = Template(to_line(value));
  return true;
}

// There is one line for each refusal: "refusal busy error busy: ...".
bool parse_refusal(std::string_view value, Service& service) {
  const auto refusal = refusal_named(take_token(value));
  if (refusal) service.refusals.at(static_cast<std::size_t>(*refusal)) = to_line(value);
  return refusal.has_value();
}

struct Setting {
  std::string_view name;
  bool (*apply)(PoolSettings&, std::string_view value);
};

bool parse_process_per(std::string_view value, Service& service) {
  service.per_request = value == "request";
  return service.per_request || value == "connection";
}

constexpr auto kSettings = std::to_array<Setting>({
    {"process-per", [](auto& all, auto value) { return parse_process_per(value, all.service); }},
    {"work", [](auto& all, auto value) { return parse_work(value, all.service.work); }},
    {"work-timeout",
     [](auto& all, auto value) { return parse_duration(value, all.service.work_timeout); }},
    {"ack", [](auto& all, auto value) { return parse_ack(value, all); }},
    {"max-line", [](auto& all, auto value) { return parse_number(value, all.service.max_line); }},
    {"idle-timeout",
     [](auto& all, auto value) { return parse_duration(value, all.service.idle_timeout); }},
    {"read-timeout",
     [](auto& all, auto value) { return parse_duration(value, all.service.read_timeout); }},
    {"write-timeout",
     [](auto& all, auto value) { return parse_duration(value, all.service.write_timeout); }},
    {"linger-timeout",
     [](auto& all, auto value) { return parse_duration(value, all.service.linger_timeout); }},
    {"max-per-address",
     [](auto& all, auto value) { return parse_number(value, all.service.max_per_address); }},
    {"max-requests",
     [](auto& all, auto value) { return parse_number(value, all.service.max_requests); }},
    {"max-requests-jitter",
     [](auto& all, auto value) { return parse_number(value, all.service.max_requests_jitter); }},
    {"greeting", [](auto& all, auto value) { return parse_template(value, all.service.greeting); }},
    {"reply", [](auto& all, auto value) { return parse_template(value, all.service.reply); }},
    {"refusal", [](auto& all, auto value) { return parse_refusal(value, all.service); }},
    {"start-children", [](auto& all, auto value) { return parse_number(value, all.bounds.start); }},
    {"min-spare", [](auto& all, auto value) { return parse_number(value, all.bounds.min_spare); }},
    {"max-spare", [](auto& all, auto value) { return parse_number(value, all.bounds.max_spare); }},
    {"max-children", [](auto& all, auto value) { return parse_number(value, all.bounds.max); }},
    {"shrink-after",
     [](auto& all, auto value) { return parse_duration(value, all.bounds.shrink_after); }},
    {"bytes-per-child",
     [](auto& all, auto value) { return parse_number(value, all.bytes_per_child); }},
    {"memory-reserve",
     [](auto& all, auto value) { return parse_number(value, all.memory_reserve); }},
    {"log-epoch", [](auto& all, auto value) { return parse_number(value, all.log_epoch); }},
    {"grace", [](auto& all, auto value) { return parse_duration(value, all.grace); }},
    {"first-back-off",
     [](auto& all, auto value) { return parse_duration(value, all.first_back_off); }},
    {"longest-back-off",
     [](auto& all, auto value) { return parse_duration(value, all.longest_back_off); }},
});

// The index in the table, or its size.
std::size_t index_of(std::string_view name) {
  return static_cast<std::size_t>(std::ranges::find(kSettings, name, &Setting::name) -
                                  kSettings.begin());
}

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
  throw SystemError("setting \"" + std::string(name) + "\" " + why, EINVAL);
}

void require(bool holds, std::string_view name, const std::string& why) {
  if (!holds) refuse(name, why);
}

// Checks what the pool divides by, indexes with, or gives to std::clamp.
void check_ranges(const PoolSettings& settings, std::size_t slots) {
  const PoolBounds& bounds = settings.bounds;
  require(settings.service.max_line > 0, "max-line", "is 0");
  require(settings.bytes_per_child > 0, "bytes-per-child", "is 0");
  require(bounds.max > 0, "max-children", "is 0");
  require(bounds.max <= slots, "max-children",
          "is " + std::to_string(bounds.max) + ", and the segment has " + std::to_string(slots) +
              " slots");
  require(bounds.start <= bounds.max, "start-children", "is more than max-children");
  require(bounds.min_spare <= bounds.max, "min-spare", "is more than max-children");
  require(bounds.min_spare <= bounds.max_spare, "min-spare", "is more than max-spare");
  require(settings.first_back_off <= settings.longest_back_off, "first-back-off",
          "is more than longest-back-off");
}

}  // namespace

bool apply_setting(PoolSettings& settings, std::string_view line) {
  const std::size_t index = index_of(take_token(line));
  return index < kSettings.size() && kSettings.at(index).apply(settings, line);
}

PoolSettings parse_settings(std::span<const std::string> lines, std::size_t slots) {
  PoolSettings settings;
  std::array<bool, kSettings.size()> given{};
  for (std::string_view line : lines) {
    const std::string_view name = take_token(line);
    const std::size_t index = index_of(name);
    require(index < kSettings.size(), name, "is unknown");
    require(kSettings.at(index).apply(settings, line), name,
            "has a malformed value \"" + std::string(line) + "\"");
    given.at(index) = true;
  }
  for (std::size_t i = 0; i < given.size(); i++)
    require(given.at(i), kSettings.at(i).name, "is missing");
  for (std::size_t i = 0; i < kRefusals; i++)
    require(!settings.service.refusals.at(i).empty(), "refusal " + std::string(kRefusalNames.at(i)),
            "is missing");
  check_ranges(settings, slots);
  return settings;
}

std::vector<std::string_view> setting_names() {
  std::vector<std::string_view> names;
  names.reserve(kSettings.size());
  for (const Setting& setting : kSettings) names.push_back(setting.name);
  return names;
}

}  // namespace kilofork
