// class Scoreboard for JavaScript: the shared memory, for the front, which creates and writes it,
// and for any reader.
#pragma once

#include <napi.h>

#include <optional>

#include "shm/scoreboard.hpp"

namespace kilofork {

class ScoreboardObject : public Napi::ObjectWrap<ScoreboardObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ScoreboardObject(const Napi::CallbackInfo& info);

 private:
  static Napi::Value sweep(const Napi::CallbackInfo& info);
  static Napi::Value lives(const Napi::CallbackInfo& info);
  static Napi::Value pid_namespace(const Napi::CallbackInfo& info);
  static void remove(const Napi::CallbackInfo& info);

  Napi::Value header(const Napi::CallbackInfo& info);
  void snapshot(const Napi::CallbackInfo& info);
  Napi::Value total(const Napi::CallbackInfo& info);
  Napi::Value publish_utc_offset(const Napi::CallbackInfo& info);
  void set_users(const Napi::CallbackInfo& info);
  void set_answer(const Napi::CallbackInfo& info);
  Napi::Value order_log(const Napi::CallbackInfo& info);
  void set_log_number(const Napi::CallbackInfo& info);
  void close_torn_heads(const Napi::CallbackInfo& info);
  Napi::Value copy_spool(const Napi::CallbackInfo& info);
  void count_orphans(const Napi::CallbackInfo& info);
  void add_pending_ends(const Napi::CallbackInfo& info);
  void abandon_log(const Napi::CallbackInfo& info);
  void set_ready(const Napi::CallbackInfo& info);
  void set_stopping(const Napi::CallbackInfo& info);
  void release_guard(const Napi::CallbackInfo& info);
  void vacate(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  Napi::Value fd(const Napi::CallbackInfo& info);

  Scoreboard& board(const Napi::CallbackInfo& info);

  std::optional<Scoreboard> board_;
};

}  // namespace kilofork
