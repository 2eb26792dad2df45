#include "load/load_engine.hpp"

#include <algorithm>
#include <utility>

namespace kilofork {

namespace {
constexpr std::uint32_t kConnectsAtATime = 1024;  // between two calls of epoll_wait()
constexpr std::size_t kManySamples = 8192;
constexpr std::uint64_t kOverdueSamples = 1000;
}  // namespace

LoadEngine::LoadEngine(LoadOptions options, InFlight& in_flight)
    : options_(std::move(options)),
      schedule_(options_),
      clients_(options_.clients),
      life_(options_, schedule_, clients_, sockets_, in_flight, results_) {}

bool LoadEngine::step(Nanoseconds time) {
  results_.clear_samples();
  Nanoseconds now = monotonic_now();
  schedule_.start(now);
  const Nanoseconds until = now + time;
  while (!clients_.all_done() && now < until && !has_many_samples()) {
    connect_due(now);
    send_due(now);
    expire(now);
    wait(until);
    now = monotonic_now();
  }
  return clients_.all_done();
}

OverdueSends LoadEngine::end() {
  const Nanoseconds end = schedule_.end(monotonic_now());
  OverdueSends overdue;
  overdue.count = std::min(schedule_.overdue(end), requests_left());
  const std::uint64_t samples = std::min(overdue.count, kOverdueSamples);
  for (std::uint64_t i = 0; i < samples; i++) {
    const std::uint64_t later = overdue.count * i / samples;
    const Nanoseconds due =
        schedule_.send_due() + static_cast<Nanoseconds>(later) * options_.interval;
    overdue.waited.push_back(end - due);
    overdue.lag.push_back(results_.stalls.within(due, end));
  }
  results_.add_failure(0, Failure::overdue, "", overdue.count);
  return overdue;
}

// The requests that clients have neither sent nor given up.
std::uint64_t LoadEngine::requests_left() const {
  if (options_.requests == 0) return UINT64_MAX;
  std::uint64_t left = 0;
  for (std::uint32_t i = 0; i < clients_.size(); i++) {
    const Client& client = clients_[i];
    left += options_.requests + 1 - client.request - (client.in_flight ? 1 : 0);
  }
  return left;
}

void LoadEngine::release() {
  if (schedule_.is_released()) return;
  schedule_.release(monotonic_now());
  for (std::uint32_t i = 0; i < clients_.size(); i++)
    if (clients_[i].state == ClientState::ready) life_.continue_ready(i);
}

// All clients that are due connect at once, as separate programs would, up to kConnectsAtATime:
// more would delay greetings and overflow the accept queue of a common server. A window no larger
// than that queue prevents an overflow, because a connection in the queue has no greeting yet.
void LoadEngine::connect_due(Nanoseconds now) {
  for (std::uint32_t k = 0; k < kConnectsAtATime && may_begin(); k++) {
    if (schedule_.newcomer_due() > now) break;
    life_.begin(schedule_.take_newcomer(), now);
  }
  while (const auto index = clients_.first_expired(ClientQueue::parked, now))
    life_.begin(*index, now);
}

// Open loop: the schedule does not wait for replies. If no client is free when a send is due, the
// send is late, and the delay is a part of its latency.
void LoadEngine::send_due(Nanoseconds now) {
  while (const auto index = clients_.first(ClientQueue::scheduled)) {
    const Nanoseconds intended = schedule_.send_due();
    if (schedule_.is_over(intended)) {
      life_.finish(*index);
      continue;
    }
    if (intended > now) return;
    schedule_.take_send();
    // Also late by the client is a send for which no client was free, because others were late.
    const Nanoseconds lag = now - std::max(intended, clients_[*index].since);
    results_.add_lag(lag);
    results_.samples.lag.back() = std::max(lag, results_.stalls.within(intended, now));
    life_.send_request(*index, intended);
  }
}

void LoadEngine::expire(Nanoseconds now) {
  while (const auto index = clients_.first_expired(ClientQueue::greeting, now))
    life_.greeting_timeout(*index);
  while (const auto index = clients_.first_expired(ClientQueue::reply, now))
    life_.reply_timeout(*index);
}

void LoadEngine::wait(Nanoseconds until) {
  const Nanoseconds timeout = std::max<Nanoseconds>(next_due(until) - monotonic_now(), 0);
  for (const epoll_event& event : sockets_.wait(timeout))
    life_.socket_event(event.data.u32, event.events);
}

Nanoseconds LoadEngine::next_due(Nanoseconds until) const {
  until = clients_.next_deadline(until);
  if (may_begin()) until = std::min(until, schedule_.newcomer_due());
  if (clients_.first(ClientQueue::scheduled)) until = std::min(until, schedule_.send_due());
  return until;
}

// Whether a client is left that has never connected, and the window has room for it.
bool LoadEngine::may_begin() const {
  return schedule_.has_newcomer() &&
         (options_.window == 0 || clients_.length(ClientQueue::greeting) < options_.window);
}

bool LoadEngine::has_many_samples() const {
  const LoadSamples& samples = results_.samples;
  return samples.reply.size() >= kManySamples || samples.connect.size() >= kManySamples;
}

}  // namespace kilofork
