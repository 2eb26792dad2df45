// class Scoreboard for JavaScript: the front's side of the shared memory, and any reader's.
#include "scoreboard_object.hpp"

#include <cmath>

#include "convert.hpp"

namespace kilofork {

namespace {

// What snapshot() writes for each slot: pid, state, milliseconds in that state, total, connections,
// log generation, and the refusals. src/native.ts names the columns.
constexpr std::size_t kColumns = 6 + kRefusals;

}  // namespace

Napi::Function ScoreboardObject::define(Napi::Env env) {
  Napi::Function constructor =
      DefineClass(env, "Scoreboard",
                  {
                      StaticMethod<&ScoreboardObject::sweep>("sweep"),
                      StaticMethod<&ScoreboardObject::remove>("remove"),
                      InstanceMethod<&ScoreboardObject::header>("header"),
                      InstanceMethod<&ScoreboardObject::snapshot>("snapshot"),
                      InstanceMethod<&ScoreboardObject::total>("total"),
                      InstanceMethod<&ScoreboardObject::set_users>("setUsers"),
                      InstanceMethod<&ScoreboardObject::bury>("bury"),
                      InstanceMethod<&ScoreboardObject::close>("close"),
                      InstanceAccessor<&ScoreboardObject::fd>("fd"),
                  });
  constructor.Set("columns", Napi::Number::New(env, kColumns));
  return constructor;
}

// new Scoreboard(name): opens for reading. new Scoreboard(name, {slots, users, host, address,
// port}): creates.
ScoreboardObject::ScoreboardObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const std::string name = info[0].As<Napi::String>();
  guarded(info.Env(), [&] {
    if (!info[1].IsObject()) {
      board_.emplace(Scoreboard::open(name, false));
      return;
    }
    const auto options = info[1].As<Napi::Object>();
    board_.emplace(
        Scoreboard::create(name, static_cast<std::uint32_t>(get_number(options, "slots")),
                           static_cast<std::uint32_t>(get_number(options, "users")),
                           {.host = get_string(options, "host"),
                            .address = get_string(options, "address"),
                            .port = static_cast<std::uint16_t>(get_number(options, "port"))}));
  });
}

Scoreboard& ScoreboardObject::board(const Napi::CallbackInfo& info) {
  if (!board_) throw Napi::TypeError::New(info.Env(), "the scoreboard is closed");
  return *board_;
}

Napi::Value ScoreboardObject::header(const Napi::CallbackInfo& info) {
  const Header& header = board(info).header();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("front", header.front);
  result.Set("supervisor", header.supervisor.load());
  result.Set("host", header.host.data());
  result.Set("address", header.address.data());
  result.Set("port", header.port);
  result.Set("slots", header.slot_count);
  result.Set("startedMs", to_milliseconds(header.created_realtime));
  result.Set("logGeneration", header.log_generation.load());
  result.Set("forked", static_cast<double>(header.forked.load()));
  result.Set("left", static_cast<double>(header.left.load()));
  result.Set("died", static_cast<double>(header.died.load()));
  return result;
}

// Fills a Float64Array of slots x columns, row by row. Each row is consistent in itself to the
// word: its pid, state and time are one.
void ScoreboardObject::snapshot(const Napi::CallbackInfo& info) {
  const Scoreboard& board = this->board(info);
  auto into = info[0].As<Napi::Float64Array>();
  if (into.ElementLength() < board.slots().size() * kColumns)
    throw Napi::TypeError::New(info.Env(), "the array is too short for the slots");
  const auto age = static_cast<double>(board.age());
  double* out = into.Data();
  for (const Slot& slot : board.slots()) {
    const Occupancy occupancy = slot.occupancy();
    *out++ = occupancy.pid;
    *out++ = static_cast<double>(occupancy.state);
    *out++ = std::fmax(age - static_cast<double>(occupancy.since), 0);
    *out++ = static_cast<double>(slot.total.load(std::memory_order_acquire));
    *out++ = static_cast<double>(slot.connections.load(std::memory_order_relaxed));
    *out++ = slot.log_generation.load(std::memory_order_relaxed);
    for (const auto& refused : slot.refused)
      *out++ = static_cast<double>(refused.load(std::memory_order_relaxed));
  }
}

Napi::Value ScoreboardObject::total(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(board(info).total()));
}

void ScoreboardObject::set_users(const Napi::CallbackInfo& info) {
  board(info).users().replace(to_strings(info[0]));
}

// The front, after its supervisor died: gives slot i free and counts its child as died.
void ScoreboardObject::bury(const Napi::CallbackInfo& info) {
  Scoreboard& board = this->board(info);
  const auto index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= board.slots().size()) throw Napi::RangeError::New(info.Env(), "no such slot");
  board.slots()[index].enter(0, State::vacant, board.age());
  board.header().died.fetch_add(1, std::memory_order_relaxed);
}

void ScoreboardObject::close(const Napi::CallbackInfo& /*info*/) {
  board_.reset();
}

Napi::Value ScoreboardObject::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), board(info).fd());
}

Napi::Value ScoreboardObject::sweep(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Scoreboard::sweep(info[0].As<Napi::String>()));
}

void ScoreboardObject::remove(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { Scoreboard::remove(info[0].As<Napi::String>()); });
}

}  // namespace kilofork
