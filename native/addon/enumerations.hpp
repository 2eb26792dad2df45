// The enumerations that native code shares with TypeScript, as lists of names. src/native compares
// them with its own when it loads the addon.
#pragma once

#include <napi.h>

namespace kilofork {

// {states, refusals, causes, deaths, growthLimits, orders, failures}: arrays of strings, each in
// the order of its enum. src/base/enumerations.ts has the same lists as types.
Napi::Object enumerations(Napi::Env env);

}  // namespace kilofork
