// The life of a client. It has one connection at a time: it connects, is greeted, and sends its
// requests one after the other; with LoadOptions::reconnect, each request has a connection of its
// own. Every byte of a reply is verified. A request on a lost connection fails and is never sent
// again; the client reconnects for the next one.
//
// A function does all that follows at once: a reply that is complete leads to the next send. So a
// client may be in any state after a call.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "load/client_table.hpp"
#include "load/client_texts.hpp"
#include "load/epoll_set.hpp"
#include "load/in_flight.hpp"
#include "load/load_options.hpp"
#include "load/load_results.hpp"
#include "load/load_schedule.hpp"

namespace kilofork {

class ClientLife {
 public:
  // All arguments outlive the object.
  ClientLife(const LoadOptions& options, const LoadSchedule& schedule, ClientTable& clients,
             EpollSet& sockets, InFlight& in_flight, LoadResults& results);

  // ---- for the loop ----
  // An idle or parked client begins: it connects, or is done if it has no request to send.
  void begin(std::uint32_t index, Nanoseconds now);
  // A ready client goes on: it sends, waits for the schedule, or is done.
  void continue_ready(std::uint32_t index);
  // A ready or scheduled client sends. Its latency counts from `intended`.
  void send_request(std::uint32_t index, Nanoseconds intended);
  // An idle, parked, ready or scheduled client is done.
  void finish(std::uint32_t index);

  // ---- what may happen to a client ----
  void socket_event(std::uint32_t index, std::uint32_t events);
  void greeting_timeout(std::uint32_t index);
  void reply_timeout(std::uint32_t index);

  // The index of the endpoint that answered last.
  [[nodiscard]] std::uint32_t server() const { return server_; }

 private:
  void connect(std::uint32_t index);
  bool connect_to_next_server(std::uint32_t index);
  void connect_failed(std::uint32_t index, int error);

  void socket_readable(std::uint32_t index);
  void socket_ended(std::uint32_t index, int error);
  void greeting_received(std::uint32_t index, std::string_view bytes);
  void greeting_complete(std::uint32_t index);
  void request_writable(std::uint32_t index, bool watches_room);
  void reply_received(std::uint32_t index, std::string_view bytes);
  bool reply_complete(std::uint32_t index);

  bool refused(std::uint32_t index, std::string_view bytes);
  void request_failed(std::uint32_t index, Failure kind, std::string_view detail);
  void count_failure(std::uint32_t index, Failure kind, std::string_view detail,
                     std::uint64_t times);
  void count_settled(Client& client);
  void reconnect(std::uint32_t index);
  void disconnect(std::uint32_t index);
  void park(std::uint32_t index);

  const LoadOptions& options_;
  const LoadSchedule& schedule_;
  ClientTable& clients_;
  EpollSet& sockets_;
  InFlight& in_flight_;
  LoadResults& results_;
  ClientTexts texts_;
  std::uint32_t server_ = 0;
  std::vector<char> received_;
};

}  // namespace kilofork
