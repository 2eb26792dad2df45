// The clients of a load engine: the state of each, and the queues of those that wait.
//
// Invariant: the state of a client decides its queue. Only enter() changes either.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "load/client_state.hpp"

namespace kilofork {

struct Client {
  static constexpr std::uint32_t kNone = UINT32_MAX;

  Fd fd;
  ClientState state = ClientState::idle;
  std::uint8_t failed_connects = 0;  // in a row
  std::uint8_t pid_length = 0;
  std::array<char, 10> pid{};  // as the greeting has it, or the present reply
  std::uint32_t pid_number = 0;
  std::uint32_t server = 0;      // index of the endpoint that it connects to
  std::uint32_t done_bytes = 0;  // of the greeting, request or reply, transferred so far
  bool in_flight = false;
  bool was_greeted = false;
  bool settled = false;            // was greeted, or has failed, at least once
  std::uint64_t request = 1;       // the number of the present request, or of the next
  Nanoseconds since = 0;           // when the connect, or the (intended) send, was made
  Nanoseconds sent_at = 0;         // the present request
  Nanoseconds deadline = 0;        // set before the client enters a queue by deadline
  std::uint32_t previous = kNone;  // in its queue
  std::uint32_t next = kNone;
};

class ClientTable {
 public:
  explicit ClientTable(std::uint32_t clients) : clients_(clients) {}

  Client& operator[](std::uint32_t index) { return clients_[index]; }
  const Client& operator[](std::uint32_t index) const { return clients_[index]; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(clients_.size()); }
  [[nodiscard]] bool all_done() const { return done_ == clients_.size(); }

  // Changes the state of a client. It leaves the queue of its old state and joins the queue of the
  // new one at the end; if both are the same, it keeps its place.
  void enter(std::uint32_t index, ClientState state);

  [[nodiscard]] std::uint32_t length(ClientQueue queue) const { return list(queue).length; }
  [[nodiscard]] std::optional<std::uint32_t> first(ClientQueue queue) const {
    const std::uint32_t index = list(queue).first;
    return index == Client::kNone ? std::nullopt : std::optional(index);
  }
  // The first client of a queue by deadline, if its deadline has passed.
  [[nodiscard]] std::optional<std::uint32_t> first_expired(ClientQueue queue,
                                                           Nanoseconds now) const {
    const std::uint32_t index = list(queue).first;
    if (index == Client::kNone || clients_[index].deadline > now) return std::nullopt;
    return index;
  }
  // The earliest deadline of all queues by deadline, at most `until`.
  [[nodiscard]] Nanoseconds next_deadline(Nanoseconds until) const;

 private:
  // Linked through Client::previous and next.
  struct List {
    std::uint32_t first = Client::kNone;
    std::uint32_t last = Client::kNone;
    std::uint32_t length = 0;
  };
  [[nodiscard]] const List& list(ClientQueue queue) const {
    return lists_[static_cast<std::size_t>(queue)];
  }
  [[nodiscard]] List& list(ClientQueue queue) { return lists_[static_cast<std::size_t>(queue)]; }
  void append(List& list, std::uint32_t index);
  void remove(List& list, std::uint32_t index);

  std::vector<Client> clients_;
  std::array<List, static_cast<std::size_t>(ClientQueue::none)> lists_{};
  std::uint32_t done_ = 0;
};

// Inline, because it runs three times for every request, each time with a constant state.
inline void ClientTable::enter(std::uint32_t index, ClientState state) {
  Client& client = clients_[index];
  const ClientRule& old_rule = kClientRules[static_cast<std::size_t>(client.state)];
  const ClientRule& rule = kClientRules[static_cast<std::size_t>(state)];
  assert((old_rule.next & set_of(state)) != 0);
  if (rule.queue != old_rule.queue) {
    if (old_rule.queue != ClientQueue::none) remove(list(old_rule.queue), index);
    if (rule.queue != ClientQueue::none) append(list(rule.queue), index);
  }
  client.state = state;
  if (state == ClientState::done) done_++;
}

inline void ClientTable::append(List& list, std::uint32_t index) {
  clients_[index].previous = list.last;
  clients_[index].next = Client::kNone;
  (list.last == Client::kNone ? list.first : clients_[list.last].next) = index;
  list.last = index;
  list.length++;
}

inline void ClientTable::remove(List& list, std::uint32_t index) {
  const Client& client = clients_[index];
  (client.previous == Client::kNone ? list.first : clients_[client.previous].next) = client.next;
  (client.next == Client::kNone ? list.last : clients_[client.next].previous) = client.previous;
  list.length--;
}

}  // namespace kilofork
