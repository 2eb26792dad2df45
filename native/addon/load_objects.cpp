// The classes InFlight and LoadEngine for JavaScript. Each thread of the client has a LoadEngine of
// its own. All of them share the InFlight of the main thread and find it by its id, because a
// JavaScript object of one thread cannot be passed to another.
#include "load_objects.hpp"

#include <map>
#include <mutex>

#include "convert.hpp"

namespace kilofork {

namespace {

class Registry {
 public:
  std::uint32_t add(const std::shared_ptr<InFlight>& in_flight) {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [](const auto& entry) { return entry.second.expired(); });
    entries_[++last_] = in_flight;
    return last_;
  }
  std::shared_ptr<InFlight> find(std::uint32_t id) {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(id);
    return entry == entries_.end() ? nullptr : entry->second.lock();
  }

 private:
  std::mutex mutex_;
  std::uint32_t last_ = 0;
  std::map<std::uint32_t, std::weak_ptr<InFlight>> entries_;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

LoadOptions to_options(const Napi::Object& js) {
  const auto port = static_cast<std::uint16_t>(get_number(js, "port"));
  std::vector<Endpoint> servers;
  for (const std::string& address : to_strings(js.Get("addresses")))
    servers.emplace_back(address, port);
  const std::string from = get_string(js, "from");
  return {.servers = std::move(servers),
          .from = from.empty() ? std::nullopt : std::optional<Endpoint>(std::in_place, from, 0),
          .clients = static_cast<std::uint32_t>(get_number(js, "clients")),
          .first_number = static_cast<std::uint32_t>(get_number(js, "firstNumber")),
          .requests = static_cast<std::uint64_t>(get_number(js, "requests")),
          .duration = get_duration(js, "durationMs"),
          .ramp_step = get_duration(js, "rampStepMs"),
          .window = static_cast<std::uint32_t>(get_number(js, "window")),
          .interval = get_duration(js, "intervalMs"),
          .connect_timeout = get_duration(js, "connectTimeoutMs"),
          .reply_timeout = get_duration(js, "replyTimeoutMs"),
          .barrier = get_boolean(js, "barrier"),
          .reconnect = get_boolean(js, "reconnect"),
          .pid_by_reply = get_boolean(js, "pidByReply"),
          .greeting = Template(get_string(js, "greeting")),
          .request = Template(get_string(js, "request")),
          .reply = Template(get_string(js, "reply")),
          .refusal = get_string(js, "refusal")};
}

// Converts to microseconds.
Napi::Float64Array to_array(Napi::Env env, const std::vector<Nanoseconds>& times) {
  auto array = Napi::Float64Array::New(env, times.size());
  double* out = array.Data();
  for (const Nanoseconds time : times) *out++ = static_cast<double>(time) / kMicrosecond;
  return array;
}

// Converts a time of the monotonic clock to milliseconds since 1970; 0 stays 0.
double to_date(Nanoseconds time) {
  return time == 0 ? 0 : to_milliseconds(time + realtime_now() - monotonic_now());
}

}  // namespace

Napi::Function InFlightObject::define(Napi::Env env) {
  return DefineClass(env, "InFlight",
                     {
                         InstanceMethod<&InFlightObject::peak>("peak"),
                         InstanceAccessor<&InFlightObject::id>("id"),
                     });
}

InFlightObject::InFlightObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), in_flight_(std::make_shared<InFlight>()) {
  id_ = registry().add(in_flight_);
}

Napi::Value InFlightObject::id(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), id_);
}

Napi::Value InFlightObject::peak(const Napi::CallbackInfo& info) {
  const InFlight::Peak peak = in_flight_->peak();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("requests", peak.requests);
  result.Set("pids", peak.pids);
  result.Set("greeters", in_flight_->greeters());
  Napi::Array first = Napi::Array::New(info.Env());
  for (const std::uint32_t pid : in_flight_->first_greeters()) first.Set(first.Length(), pid);
  result.Set("firstGreeters", first);
  result.Set("fromMs", to_date(peak.from));
  result.Set("heldMs", to_milliseconds(peak.until - peak.from));
  return result;
}

Napi::Function LoadEngineObject::define(Napi::Env env) {
  return DefineClass(env, "LoadEngine",
                     {
                         InstanceMethod<&LoadEngineObject::step>("step"),
                         InstanceMethod<&LoadEngineObject::end>("end"),
                         InstanceMethod<&LoadEngineObject::release>("release"),
                         InstanceMethod<&LoadEngineObject::counts>("counts"),
                         InstanceMethod<&LoadEngineObject::failures>("failures"),
                         InstanceMethod<&LoadEngineObject::samples>("samples"),
                         InstanceAccessor<&LoadEngineObject::address>("address"),
                     });
}

// new LoadEngine(options, id of the InFlight)
LoadEngineObject::LoadEngineObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), in_flight_(registry().find(info[1].As<Napi::Number>())) {
  if (!in_flight_) throw Napi::TypeError::New(info.Env(), "no such InFlight");
  guarded(info.Env(),
          [&] { engine_.emplace(to_options(info[0].As<Napi::Object>()), *in_flight_); });
}

Napi::Value LoadEngineObject::step(const Napi::CallbackInfo& info) {
  const double milliseconds = info[0].As<Napi::Number>();
  return Napi::Boolean::New(info.Env(),
                            engine_->step(static_cast<Nanoseconds>(milliseconds * kMillisecond)));
}

// end() → {count, waited, lag} of the sends that are overdue, in microseconds.
Napi::Value LoadEngineObject::end(const Napi::CallbackInfo& info) {
  const OverdueSends overdue = engine_->end();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("count", static_cast<double>(overdue.count));
  result.Set("waited", to_array(info.Env(), overdue.waited));
  result.Set("lag", to_array(info.Env(), overdue.lag));
  return result;
}

void LoadEngineObject::release(const Napi::CallbackInfo& /*info*/) {
  engine_->release();
}

Napi::Value LoadEngineObject::counts(const Napi::CallbackInfo& info) {
  const LoadCounts& counts = engine_->counts();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("sent", static_cast<double>(counts.sent));
  result.Set("verified", static_cast<double>(counts.verified));
  result.Set("failed", static_cast<double>(counts.failed));
  result.Set("connections", static_cast<double>(counts.connections));
  result.Set("synRetransmits", static_cast<double>(counts.syn_retransmits));
  result.Set("greeted", counts.greeted);
  result.Set("settled", counts.settled);
  result.Set("firstConnectMs", to_date(counts.first_connect));
  result.Set("firstSendMs", to_date(counts.first_send));
  result.Set("lastReplyMs", to_date(counts.last_reply));
  return result;
}

Napi::Value LoadEngineObject::failures(const Napi::CallbackInfo& info) {
  Napi::Array result = Napi::Array::New(info.Env());
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < kFailures; i++) {
    const LoadFailures& failures = engine_->failures().at(i);
    if (failures.count == 0) continue;
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("kind", std::string(kFailureNames.at(i)));
    entry.Set("count", static_cast<double>(failures.count));
    entry.Set("firstClient", failures.first_client);
    entry.Set("detail", failures.first_detail);
    result.Set(length++, entry);
  }
  return result;
}

// samples() → {connect, reply, lag} of the last step, in microseconds.
Napi::Value LoadEngineObject::samples(const Napi::CallbackInfo& info) {
  const LoadSamples& samples = engine_->samples();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("connect", to_array(info.Env(), samples.connect));
  result.Set("reply", to_array(info.Env(), samples.reply));
  result.Set("lag", to_array(info.Env(), samples.lag));
  return result;
}

Napi::Value LoadEngineObject::address(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), engine_->server().address_text());
}

}  // namespace kilofork
