#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "load/load_engine.hpp"

namespace kilofork {

class InFlightObject : public Napi::ObjectWrap<InFlightObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit InFlightObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value peak(const Napi::CallbackInfo& info);

  std::uint32_t id_ = 0;
  std::shared_ptr<InFlight> in_flight_;
};

class LoadEngineObject : public Napi::ObjectWrap<LoadEngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit LoadEngineObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value step(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  Napi::Value counts(const Napi::CallbackInfo& info);
  Napi::Value failures(const Napi::CallbackInfo& info);
  Napi::Value end(const Napi::CallbackInfo& info);
  Napi::Value samples(const Napi::CallbackInfo& info);
  Napi::Value address(const Napi::CallbackInfo& info);

  std::shared_ptr<InFlight> in_flight_;
  std::optional<LoadEngine> engine_;
};

}  // namespace kilofork
