#pragma once

#include <napi.h>

#include <optional>

#include "../core/awake.hpp"

namespace kilofork {

class AwakeObject : public Napi::ObjectWrap<AwakeObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit AwakeObject(const Napi::CallbackInfo& info) : ObjectWrap(info) { awake_.emplace(); }

 private:
  void end(const Napi::CallbackInfo& /*info*/) { awake_.reset(); }

  std::optional<Awake> awake_;
};

}  // namespace kilofork
