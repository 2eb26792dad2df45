#include "scoreboard_object.hpp"

#include <cmath>
#include <cstring>

#include "convert.hpp"
#include "log/append_log.hpp"
#include "log/spool.hpp"
#include "process/pid_namespace.hpp"

namespace kilofork {

namespace {

// What snapshot() writes for each slot: pid, state, milliseconds in that state, total, connections,
// epoch of the child, epoch of its log, retracted requests, and the refusals.
// src/native/scoreboard.ts names the columns.
constexpr std::size_t kColumns = 8 + kRefusals;

template <typename Counts>
Napi::Array to_numbers(Napi::Env env, const Counts& counts) {
  Napi::Array array = Napi::Array::New(env);
  for (std::uint32_t i = 0; i < counts.size(); i++)
    array.Set(i, static_cast<double>(counts[i].load()));
  return array;
}

Napi::Value keeper_of(Napi::Env env, const KeeperState& keeper) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", keeper.pid.load());
  result.Set("connections", keeper.connections.load());
  result.Set("ready", keeper.ready.load());
  result.Set("accepted", static_cast<double>(keeper.accepted.load()));
  result.Set("refused", to_numbers(env, keeper.refused));
  return result;
}

// The owner of a segment may leave out the end of a text.
template <std::size_t N>
std::string text_of(const std::array<char, N>& text) {
  return {text.data(), ::strnlen(text.data(), N)};
}

PoolBounds get_bounds(const Napi::Object& options) {
  return {.start = static_cast<std::size_t>(get_number(options, "start")),
          .min_spare = static_cast<std::size_t>(get_number(options, "minSpare")),
          .max_spare = static_cast<std::size_t>(get_number(options, "maxSpare")),
          .max = static_cast<std::size_t>(get_number(options, "max")),
          .shrink_after = 0};  // not in the header
}

}  // namespace

Napi::Function ScoreboardObject::define(Napi::Env env) {
  Napi::Function constructor =
      DefineClass(env, "Scoreboard",
                  {
                      StaticMethod<&ScoreboardObject::sweep>("sweep"),
                      StaticMethod<&ScoreboardObject::lives>("lives"),
                      StaticMethod<&ScoreboardObject::pid_namespace>("pidNamespace"),
                      StaticMethod<&ScoreboardObject::remove>("remove"),
                      InstanceMethod<&ScoreboardObject::header>("header"),
                      InstanceMethod<&ScoreboardObject::snapshot>("snapshot"),
                      InstanceMethod<&ScoreboardObject::total>("total"),
                      InstanceMethod<&ScoreboardObject::publish_utc_offset>("publishUtcOffset"),
                      InstanceMethod<&ScoreboardObject::set_users>("setUsers"),
                      InstanceMethod<&ScoreboardObject::set_answer>("setAnswer"),
                      InstanceMethod<&ScoreboardObject::order_log>("orderLog"),
                      InstanceMethod<&ScoreboardObject::abandon_log>("abandonLog"),
                      InstanceMethod<&ScoreboardObject::set_log_number>("setLogNumber"),
                      InstanceMethod<&ScoreboardObject::close_torn_heads>("closeTornHeads"),
                      InstanceMethod<&ScoreboardObject::copy_spool>("copySpool"),
                      InstanceMethod<&ScoreboardObject::count_orphans>("countOrphans"),
                      InstanceMethod<&ScoreboardObject::add_pending_ends>("addPendingEnds"),
                      InstanceMethod<&ScoreboardObject::set_ready>("setReady"),
                      InstanceMethod<&ScoreboardObject::set_stopping>("setStopping"),
                      InstanceMethod<&ScoreboardObject::release_guard>("releaseGuard"),
                      InstanceMethod<&ScoreboardObject::vacate>("vacate"),
                      InstanceMethod<&ScoreboardObject::close>("close"),
                      InstanceAccessor<&ScoreboardObject::fd>("fd"),
                  });
  constructor.Set("columns", Napi::Number::New(env, kColumns));
  return constructor;
}

// new Scoreboard(name) opens a segment for reading, as a copy that each method refreshes. new
// Scoreboard(name, {users, host, address, port, backlog, limits: {start, minSpare, maxSpare, max},
// synced, spooled, perRequest, graceMs, log, release}) creates one.
ScoreboardObject::ScoreboardObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const std::string name = info[0].As<Napi::String>();
  guarded(info.Env(), [&] {
    if (!info[1].IsObject()) {
      board_.emplace(Scoreboard(Segment::copy(name)));
      return;
    }
    const auto options = info[1].As<Napi::Object>();
    const PoolBounds bounds = get_bounds(options.Get("limits").As<Napi::Object>());
    board_.emplace(
        Scoreboard::create(name, static_cast<std::uint32_t>(bounds.max),
                           static_cast<std::uint32_t>(get_number(options, "users")),
                           {.host = get_string(options, "host"),
                            .address = get_string(options, "address"),
                            .port = static_cast<std::uint16_t>(get_number(options, "port")),
                            .backlog = static_cast<std::uint32_t>(get_number(options, "backlog")),
                            .bounds = bounds,
                            .synced = options.Get("synced").As<Napi::Boolean>(),
                            .spooled = options.Get("spooled").As<Napi::Boolean>(),
                            .per_request = options.Get("perRequest").As<Napi::Boolean>(),
                            .grace = get_duration(options, "graceMs"),
                            .log = get_string(options, "log"),
                            .release = get_string(options, "release")}));
  });
}

Scoreboard& ScoreboardObject::board(const Napi::CallbackInfo& info) {
  if (!board_) throw Napi::TypeError::New(info.Env(), "the scoreboard is closed");
  return *board_;
}

Napi::Value ScoreboardObject::header(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Scoreboard& board = this->board(info);
  guarded(env, [&] { board.refresh_header(); });
  const Header& header = board.header();
  const std::int64_t full_since = header.full_since.load();
  const std::int64_t full_now = full_since > 0 ? board.age() - full_since : -1;
  Napi::Object result = Napi::Object::New(env);
  result.Set("front", header.front);
  result.Set("supervisor", header.supervisor.load());
  result.Set("release", text_of(header.release));
  result.Set("host", text_of(header.host));
  result.Set("address", text_of(header.address));
  result.Set("port", header.port);
  result.Set("backlog", header.backlog);
  result.Set("log", text_of(header.log));
  result.Set("start", header.start);
  result.Set("minSpare", header.min_spare);
  result.Set("maxSpare", header.max_spare);
  result.Set("slots", header.slot_count);
  result.Set("startedMs", to_milliseconds(header.created_realtime));
  result.Set("ageMs", static_cast<double>(board.age()));
  result.Set("childEpoch", header.child_epoch.load());
  result.Set("logEpoch", header.log_epoch.load());
  result.Set("logError", header.log_error.load());
  result.Set("acceptError", header.accept_error.load());
  result.Set("pendingEnds", header.pending.ends.load());
  result.Set("logSettled", header.log_settled.load());
  result.Set("keeper", header.per_request != 0 ? keeper_of(env, header.keeper) : env.Null());
  result.Set("growthLimit", header.growth_limit.load());
  result.Set("fullTimes", header.full_times.load());
  result.Set("fullNowMs", static_cast<double>(full_now));
  result.Set("fullBeforeMs", static_cast<double>(header.full_before.load()));
  result.Set("forked", to_numbers(env, header.forked));
  result.Set("ended", to_numbers(env, header.ended));
  result.Set("logOrdered", header.log_ordered.load());
  result.Set("logNumber", header.log_number.load());
  result.Set("synced", header.synced != 0);
  result.Set("spooled", header.spooled != 0);
  const std::int64_t stalled_since = header.spool.stalled_since.load();
  result.Set("stalledMs",
             static_cast<double>(stalled_since > 0 ? board.age() - stalled_since : -1));
  result.Set("waitingBytes", static_cast<double>(header.spool.waiting.load()));
  result.Set("forker", header.forker.load());
  result.Set("syncer", header.syncer.load());
  result.Set("syncs", static_cast<double>(header.commit.syncs()));
  result.Set("syncsAskedFor", static_cast<double>(header.commit.joined()));
  result.Set("lastSyncMs", to_milliseconds(header.commit.last_took()));
  result.Set("logDead", header.commit.is_dead(header.log_ordered.load()));
  result.Set("syncError", header.commit.error());
  result.Set("graceMs", to_milliseconds(header.grace));
  result.Set("ready", header.ready.load() != 0);
  result.Set("stopping", header.stopping.load() != 0);
  result.Set("aborted", header.aborted.load());
  result.Set("pidNamespace", static_cast<double>(header.pid_namespace));
  Napi::Array answers = Napi::Array::New(env);
  for (std::uint32_t i = 0; i < header.answers.size(); i++) {
    const Answer& from = header.answers.at(i);
    Napi::Object answer = Napi::Object::New(env);
    answer.Set("count", from.count.load());
    answer.Set("ok", from.succeeded.load() != 0);
    answer.Set("text", from.text.get().value_or(""));
    answers.Set(i, answer);
  }
  result.Set("answers", answers);
  return result;
}

// snapshot(array): fills a Float64Array of slots x columns, row by row. Pid, state and time of a
// row are of one moment; the counts may be a little newer.
void ScoreboardObject::snapshot(const Napi::CallbackInfo& info) {
  Scoreboard& board = this->board(info);
  guarded(info.Env(), [&] { board.refresh_slots(); });
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
    *out++ = slot.child_epoch.load(std::memory_order_relaxed);
    *out++ = slot.log_epoch.load(std::memory_order_relaxed);
    *out++ = static_cast<double>(slot.retracted.load(std::memory_order_relaxed));
    for (const auto& refused : slot.refused)
      *out++ = static_cast<double>(refused.load(std::memory_order_relaxed));
  }
}

Napi::Value ScoreboardObject::total(const Napi::CallbackInfo& info) {
  Scoreboard& board = this->board(info);
  guarded(info.Env(), [&] { board.refresh_slots(); });
  return Napi::Number::New(info.Env(), static_cast<double>(board.total()));
}

// publishUtcOffset() → "+01:00": the offset of the times in the log, from the clock that stamps
// them. The caller records it.
Napi::Value ScoreboardObject::publish_utc_offset(const Napi::CallbackInfo& info) {
  std::array<char, 9> out{};
  const std::time_t now = realtime_now() / kSecond;
  const std::int32_t offset = board(info).header().utc_offset.at(now);
  return Napi::String::New(info.Env(), std::string(RecordTime::write_offset(offset, out)));
}

// setUsers(names): replaces the users.
void ScoreboardObject::set_users(const Napi::CallbackInfo& info) {
  board(info).users().replace(to_strings(info[0]));
}

// setAnswer(order, ok, text): what became of an order, which is given by its index.
void ScoreboardObject::set_answer(const Napi::CallbackInfo& info) {
  Answer& answer = board(info).header().answers.at(info[0].As<Napi::Number>().Uint32Value());
  answer.succeeded.store(info[1].As<Napi::Boolean>() ? 1 : 0, std::memory_order_relaxed);
  answer.text.put(info[2].As<Napi::String>().Utf8Value());
  answer.count.fetch_add(1, std::memory_order_release);
}

// orderLog() → the epoch of the next log, which children are ordered to take.
Napi::Value ScoreboardObject::order_log(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), board(info).header().log_ordered.fetch_add(1) + 1);
}

// abandonLog(): nothing in the present log may be acknowledged any more.
void ScoreboardObject::abandon_log(const Napi::CallbackInfo& info) {
  Header& header = board(info).header();
  header.commit.declare_dead(header.log_ordered.load());
}

// setLogNumber(number): the number at the end of the log's name.
void ScoreboardObject::set_log_number(const Napi::CallbackInfo& info) {
  board(info).header().log_number.store(info[0].As<Napi::Number>().Uint32Value());
}

// closeTornHeads(fd): closes in the log the torn heads of processes that have ended.
void ScoreboardObject::close_torn_heads(const Napi::CallbackInfo& info) {
  kilofork::close_torn_heads(info[0].As<Napi::Number>(), board(info).header().pending.torn_heads);
}

void ScoreboardObject::set_ready(const Napi::CallbackInfo& info) {
  board(info).header().ready.store(1);
}

// copySpool(spool, reader, ms) → how many bytes are left: at the end, copies records of the spool,
// and gives up when the reader takes nothing for so long.
Napi::Value ScoreboardObject::copy_spool(const Napi::CallbackInfo& info) {
  const auto patience =
      static_cast<Nanoseconds>(info[2].As<Napi::Number>().DoubleValue() * kMillisecond);
  Spool spool(info[0].As<Napi::Number>(), info[1].As<Napi::Number>(), board(info).header().spool);
  (void)spool.copy_all(patience);
  return Napi::Number::New(info.Env(), static_cast<double>(spool.waiting()));
}

void ScoreboardObject::set_stopping(const Napi::CallbackInfo& info) {
  board(info).header().stopping.store(1);
}

// releaseGuard(), after the segment was removed.
void ScoreboardObject::release_guard(const Napi::CallbackInfo& info) {
  board(info).header().guarded.store(0);
}

// vacate(slot), after the supervisor died and the end of the slot's child was recorded.
void ScoreboardObject::vacate(const Napi::CallbackInfo& info) {
  Scoreboard& board = this->board(info);
  const auto index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= board.slots().size()) throw Napi::RangeError::New(info.Env(), "no such slot");
  board.vacate(index);
}

// countOrphans(), after all slots were vacated.
void ScoreboardObject::count_orphans(const Napi::CallbackInfo& info) {
  board(info).count_orphans();
}

// addPendingEnds(by): records of ends that are now pending; fewer if `by` is negative.
void ScoreboardObject::add_pending_ends(const Napi::CallbackInfo& info) {
  board(info).header().pending.ends +=
      static_cast<std::uint32_t>(info[0].As<Napi::Number>().Int32Value());
}

void ScoreboardObject::close(const Napi::CallbackInfo& /*info*/) {
  board_.reset();
}

Napi::Value ScoreboardObject::fd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), board(info).fd());
}

Napi::Value ScoreboardObject::sweep(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Segment::sweep(info[0].As<Napi::String>()));
}

Napi::Value ScoreboardObject::lives(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Segment::is_locked(info[0].As<Napi::String>()));
}

Napi::Value ScoreboardObject::pid_namespace(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(kilofork::pid_namespace()));
}

void ScoreboardObject::remove(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] { Segment::remove(info[0].As<Napi::String>()); });
}

}  // namespace kilofork
