#include "enumerations.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cause.hpp"
#include "base/protocol.hpp"
#include "load/load_engine.hpp"
#include "shm/header.hpp"
#include "shm/slot.hpp"

namespace kilofork {

namespace {

Napi::Array to_array(Napi::Env env, std::span<const std::string_view> names) {
  Napi::Array array = Napi::Array::New(env, names.size());
  std::uint32_t index = 0;
  for (const std::string_view name : names) array.Set(index++, std::string(name));
  return array;
}

std::vector<std::string_view> deaths() {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < kCauses; i++)
    if (is_death(static_cast<Cause>(i))) names.push_back(kCauseNames.at(i));
  return names;
}

}  // namespace

Napi::Object enumerations(Napi::Env env) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("states", to_array(env, kStateNames));
  result.Set("refusals", to_array(env, kRefusalNames));
  result.Set("causes", to_array(env, kCauseNames));
  result.Set("deaths", to_array(env, deaths()));
  result.Set("growthLimits", to_array(env, kGrowthLimitNames));
  result.Set("orders", to_array(env, kOrderNames));
  result.Set("failures", to_array(env, kFailureNames));
  return result;
}

}  // namespace kilofork
