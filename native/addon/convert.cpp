#include "convert.hpp"

#include <cmath>
#include <cstring>

namespace kilofork {

Napi::Error to_js_error(Napi::Env env, const SystemError& error) {
  Napi::Error js = Napi::Error::New(env, error.what());
  const char* name = ::strerrorname_np(error.code);
  js.Set("code", Napi::String::New(env, name != nullptr ? name : "UNKNOWN"));
  js.Set("errno", Napi::Number::New(env, -error.code));
  return js;
}

std::string get_string(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::String>().Utf8Value();
}

double get_number(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Number>().DoubleValue();
}

bool get_boolean(const Napi::Object& object, const char* key) {
  return object.Get(key).As<Napi::Boolean>().Value();
}

Nanoseconds get_duration(const Napi::Object& object, const char* key) {
  return std::llround(get_number(object, key) * kMillisecond);
}

std::vector<std::string> to_strings(const Napi::Value& value) {
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (std::uint32_t i = 0; i < array.Length(); i++)
    strings.push_back(array.Get(i).As<Napi::String>().Utf8Value());
  return strings;
}

}  // namespace kilofork
