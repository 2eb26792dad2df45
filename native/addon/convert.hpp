// Converts JavaScript values to C++ and back, and errors. TypeScript has validated what comes here
// (src/native is the only caller), so a wrong type is a TypeError without details.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace kilofork {

// An Error with `code` ("EADDRINUSE") and `errno`, like Node's own system errors.
Napi::Error to_js_error(Napi::Env env, const SystemError& error);

// Calls `body`, and rethrows a SystemError as a JavaScript error.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const SystemError& error) {
    throw to_js_error(env, error);
  }
}

std::string get_string(const Napi::Object& object, const char* key);
double get_number(const Napi::Object& object, const char* key);
bool get_boolean(const Napi::Object& object, const char* key);
Nanoseconds get_duration(const Napi::Object& object, const char* key);  // from milliseconds
std::vector<std::string> to_strings(const Napi::Value& array);

inline double to_milliseconds(Nanoseconds time) {
  return static_cast<double>(time) / kMillisecond;
}

}  // namespace kilofork
