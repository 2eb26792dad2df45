#include "log_object.hpp"

#include <fcntl.h>

#include "convert.hpp"
#include "log/spool.hpp"

namespace kilofork {

namespace {
constexpr std::size_t kLongestText = 1024;
}

Napi::Function LogObject::define(Napi::Env env) {
  return DefineClass(env, "Log",
                     {
                         InstanceMethod<&LogObject::append>("append"),
                         InstanceMethod<&LogObject::close>("close"),
                         InstanceAccessor<&LogObject::fd>("fd"),
                         InstanceAccessor<&LogObject::reader>("reader"),
                     });
}

// new Log(path) opens or creates the log; new Log(fd) duplicates a descriptor of it. If that is no
// file, records go to a spool.
LogObject::LogObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), buffer_(AppendLog::buffer_bytes(kLongestText)) {
  guarded(info.Env(), [&] {
    if (info[0].IsNumber()) {
      fd_.reset(::fcntl(info[0].As<Napi::Number>(), F_DUPFD_CLOEXEC, 3));
      if (!fd_) fail("dup of the log's descriptor");
    } else {
      fd_ = open_log(info[0].As<Napi::String>());
    }
    if (needs_spool(fd_.get())) {
      reader_ = open_reader(fd_.get());
      fd_ = make_spool();
    }
    log_.emplace(fd_.get(), buffer_);
  });
}

// append(text) → 0, or an errno value if the record could not be written. The record has the
// present time.
Napi::Value LogObject::append(const Napi::CallbackInfo& info) {
  const std::string text = info[0].As<Napi::String>();
  if (text.size() > kLongestText) throw Napi::RangeError::New(info.Env(), "the record is too long");
  return Napi::Number::New(info.Env(), log_->record().text(text).commit() ? 0 : errno);
}

void LogObject::close(const Napi::CallbackInfo& /*info*/) {
  fd_.reset();
  reader_.reset();
}

Napi::Value LogObject::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), fd_.get());
}

// The descriptor that the spool is copied to; -1 if there is no spool.
Napi::Value LogObject::reader(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), reader_.get());
}

}  // namespace kilofork
