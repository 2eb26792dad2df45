// class Log for JavaScript: the front writes its records by the same code as children. Runs in the
// front.
#pragma once

#include <napi.h>

#include <optional>
#include <vector>

#include "log/append_log.hpp"

namespace kilofork {

class LogObject : public Napi::ObjectWrap<LogObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit LogObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value append(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  Napi::Value fd(const Napi::CallbackInfo& info);

  Napi::Value reader(const Napi::CallbackInfo& info);

  Fd fd_;      // of the file, or of its spool
  Fd reader_;  // of the spool
  std::vector<char> buffer_;
  std::optional<AppendLog> log_;
};

}  // namespace kilofork
