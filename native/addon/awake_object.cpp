// class Awake for JavaScript: from its making until end().
#include "awake_object.hpp"

namespace kilofork {

Napi::Function AwakeObject::define(Napi::Env env) {
  return DefineClass(env, "Awake", {InstanceMethod<&AwakeObject::end>("end")});
}

}  // namespace kilofork
