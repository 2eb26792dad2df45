#include "child/request.hpp"

namespace kilofork {

RequestLedger::RequestLedger(const OwnSlot& own, const Service& service, ChildLog& log,
                             TimedWork& work, Texts& texts)
    : own_(own),
      service_(service),
      log_(log),
      work_(work),
      texts_(texts),
      total_at_birth_(own.slot.total.load(std::memory_order_relaxed)) {}

RequestLedger::Outcome RequestLedger::perform(const Request& request) {
  // 1. received
  if (!log_.record_received(request)) return {.result = Result::unrecorded, .reply = {}};

  // 2. work
  own_.enter(State::working);
  work_.run(request.message);

  // 3. completed, and synced. The state changes before record_completed() tests whether the log is
  //    dead: LogManager::wait_for_retractions() relies on that order.
  own_.enter(service_.synced ? State::syncing : State::replying);
  const std::uint64_t total = next_total();
  if (!log_.record_completed(request, total - total_at_birth_)) {
    own_.enter(State::replying);
    return {.result = Result::unrecorded, .reply = {}};
  }
  if (service_.synced) {
    if (!log_.sync()) return {.result = Result::unsynced, .reply = {}};
    own_.enter(State::replying);
  }

  // 4. count
  own_.slot.total.store(total, std::memory_order_release);

  // 5. reply
  return {.result = Result::counted, .reply = texts_.reply(request)};
}

bool RequestLedger::retract(const Request& request, const volatile sig_atomic_t& stopping) {
  if (!log_.retract(request, next_total() - total_at_birth_, stopping)) return false;
  own_.enter(State::replying);
  return true;
}

std::uint64_t RequestLedger::next_total() const {
  return own_.slot.total.load(std::memory_order_relaxed) + 1;
}

}  // namespace kilofork
