// The states of a client, and what each implies: the queue that the client is in, and the states
// that may follow. ClientTable::enter() makes every transition.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace kilofork {

enum class ClientState : std::uint8_t {
  idle,       // has no connection
  parked,     // has no connection; connects at its deadline
  greeting,   // connects, or waits for the rest of the greeting
  ready,      // greeted, nothing in flight; waits at the barrier, if there is one
  scheduled,  // greeted, nothing in flight; waits until a send of the open loop is due
  sending,    // has sent less than the whole request
  waiting,    // has sent the request; waits for the rest of the reply
  done,       // has no connection, and never connects again
};
constexpr std::size_t kClientStates = static_cast<std::size_t>(ClientState::done) + 1;

// First in, first out.
enum class ClientQueue : std::uint8_t {
  parked,     // by deadline
  greeting,   // by deadline
  reply,      // sending and waiting clients, by deadline
  scheduled,  // by the time of their last reply
  none,
};

// What a state implies.
struct ClientRule {
  ClientQueue queue;   // of the clients in this state
  std::uint32_t next;  // the set of the states that may follow: a bit for each
};

template <typename... States>
constexpr std::uint32_t set_of(States... states) {
  return ((1U << static_cast<unsigned>(states)) | ...);
}

// In the order of the states.
constexpr std::array<ClientRule, kClientStates> client_rules() {
  using enum ClientState;
  return {{
      {.queue = ClientQueue::none, .next = set_of(parked, greeting, done)},          // idle
      {.queue = ClientQueue::parked, .next = set_of(greeting, done)},                // parked
      {.queue = ClientQueue::greeting, .next = set_of(ready, idle)},                 // greeting
      {.queue = ClientQueue::none, .next = set_of(scheduled, sending, idle, done)},  // ready
      {.queue = ClientQueue::scheduled, .next = set_of(sending, idle, done)},        // scheduled
      {.queue = ClientQueue::reply, .next = set_of(waiting, idle)},                  // sending
      {.queue = ClientQueue::reply, .next = set_of(ready, idle)},                    // waiting
      {.queue = ClientQueue::none, .next = 0},                                       // done
  }};
}
inline constexpr auto kClientRules = client_rules();

}  // namespace kilofork
