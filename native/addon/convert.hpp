// JavaScript values to C++ and back, and errors across the border. TypeScript has validated what
// comes here (src/native is the one door), so a wrong type is a TypeError and nothing more.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace kilofork {

// An Error with `code` ("EADDRINUSE") and `errno`, as Node's own system errors have.
Napi::Error to_js_error(Napi::Env env, const SystemError& error);

// Calls `body`, and rethrows what it throws as a JavaScript error.
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
Nanoseconds get_duration(const Napi::Object& object, const char* key);  // given in milliseconds
std::vector<std::string> to_strings(const Napi::Value& array);

inline double to_milliseconds(Nanoseconds time) {
  return static_cast<double>(time) / kMillisecond;
}

}  // namespace kilofork
