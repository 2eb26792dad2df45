#include "load/client_life.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

#include "load/client_socket.hpp"
#include "load/greeting_check.hpp"

namespace kilofork {

namespace {
constexpr std::uint8_t kGiveUpAfter = 3;               // failed connects in a row
constexpr Nanoseconds kParkedFor = 10 * kMillisecond;  // after a failure
constexpr std::size_t kReceiveBytes = 65536;
}  // namespace

ClientLife::ClientLife(const LoadOptions& options, const LoadSchedule& schedule,
                       ClientTable& clients, EpollSet& sockets, InFlight& in_flight,
                       LoadResults& results)
    : options_(options),
      schedule_(schedule),
      clients_(clients),
      sockets_(sockets),
      in_flight_(in_flight),
      results_(results),
      texts_(options),
      received_(kReceiveBytes) {}

// ---- connect -----------------------------------------------------------------------------------

void ClientLife::begin(std::uint32_t index, Nanoseconds now) {
  if (schedule_.has_request(clients_[index].request, now))
    connect(index);
  else
    finish(index);
}

void ClientLife::connect(std::uint32_t index) {
  Client& client = clients_[index];
  client.server = std::max(client.server, server_);
  const Endpoint& server = options_.servers[client.server];
  client.fd = open_socket(server);
  client.since = monotonic_now();
  client.deadline = client.since + options_.connect_timeout;
  client.done_bytes = 0;
  client.pid_length = 0;
  clients_.enter(index, ClientState::greeting);
  if (results_.counts.first_connect == 0) results_.counts.first_connect = client.since;
  if (!client.fd) return connect_failed(index, errno);
  int error = connect_socket(client.fd.get(), server, options_.from);
  if (error == 0) error = sockets_.add(client.fd.get(), index);
  if (error != 0) connect_failed(index, error);
}

// Connects to the next endpoint of the server. False if this was the last one.
bool ClientLife::connect_to_next_server(std::uint32_t index) {
  Client& client = clients_[index];
  if (client.server + 1 >= options_.servers.size()) return false;
  disconnect(index);
  client.server++;
  connect(index);
  return true;
}

void ClientLife::connect_failed(std::uint32_t index, int error) {
  if (connect_to_next_server(index)) return;
  Client& client = clients_[index];
  client.server = 0;
  client.failed_connects++;
  std::string detail = std::strerror(error);
  if (error == EADDRNOTAVAIL)
    detail += options_.from
                  ? ": no address of this machine, or it has no port left"
                  : ": no local port is left; widen net.ipv4.ip_local_port_range, or divide "
                    "the clients over addresses with --from";
  request_failed(index, Failure::connect, detail);
}

// ---- the socket --------------------------------------------------------------------------------

void ClientLife::socket_event(std::uint32_t index, std::uint32_t events) {
  Client& client = clients_[index];
  if ((events & EPOLLOUT) != 0 && client.state == ClientState::sending)
    request_writable(index, true);
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && client.fd) socket_readable(index);
}

void ClientLife::socket_readable(std::uint32_t index) {
  Client& client = clients_[index];
  const Received received = receive(client.fd.get(), received_);
  if (received.bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received.bytes <= 0) return socket_ended(index, received.bytes < 0 ? errno : 0);
  const std::string_view bytes(received_.data(), static_cast<std::size_t>(received.bytes));
  if (client.state == ClientState::greeting) return greeting_received(index, bytes);
  if (client.state == ClientState::waiting) {
    if (received.arrived) results_.add_lag(realtime_now() - *received.arrived);
    return reply_received(index, bytes);
  }
  if (!refused(index, bytes))
    request_failed(index, Failure::mismatch, "unasked for: " + quoted(bytes));
}

// `error` is an errno value, or 0 for end of file.
void ClientLife::socket_ended(std::uint32_t index, int error) {
  Client& client = clients_[index];
  if (error == 0) error = pending_error(client.fd.get());
  switch (client.state) {
    case ClientState::greeting:
      if (error != 0 && client.done_bytes == 0) return connect_failed(index, error);
      break;
    case ClientState::ready:
    case ClientState::scheduled:  // no request is lost
      disconnect(index);
      return park(index);
    case ClientState::waiting: {
      // A reply may end with the end of file instead of its newline.
      const std::string_view reply = texts_.reply(index, client);
      if (error != 0 || client.done_bytes + 1 != reply.size() || !reply.ends_with('\n')) break;
      if (reply_complete(index)) reconnect(index);
      return;
    }
    default:
      break;
  }
  request_failed(index, Failure::lost, error == 0 ? "closed by the server" : std::strerror(error));
}

// ---- greeting ----------------------------------------------------------------------------------

void ClientLife::greeting_received(std::uint32_t index, std::string_view bytes) {
  Client& client = clients_[index];
  client.failed_connects = 0;
  if (client.done_bytes == 0 && refused(index, bytes)) return;
  switch (check_greeting(options_.greeting, bytes, client)) {
    case GreetingCheck::incomplete:
      return;
    case GreetingCheck::complete:
      return greeting_complete(index);
    case GreetingCheck::wrong:
      return request_failed(index, Failure::greeting, "got " + quoted(bytes));
    case GreetingCheck::excess:
      if (refused(index, bytes.substr(bytes.find('\n') + 1))) return;
      return request_failed(index, Failure::greeting,
                            "got " + quoted(bytes) + " after the greeting");
    case GreetingCheck::pid_too_large:
      return request_failed(index, Failure::greeting, "got a pid beyond any number");
  }
}

void ClientLife::greeting_complete(std::uint32_t index) {
  Client& client = clients_[index];
  LoadCounts& counts = results_.counts;
  results_.samples.connect.push_back(monotonic_now() - client.since);
  server_ = client.server;
  counts.connections++;
  if (!client.was_greeted) counts.greeted++;
  client.was_greeted = true;
  count_settled(client);
  if (!options_.pid_by_reply) in_flight_.seen(client.pid_number);
  clients_.enter(index, ClientState::ready);
  const int fd = client.fd.get();
  if (schedule_.is_released()) continue_ready(index);
  // TCP has sent nothing but the SYN more than once before the greeting. The count is read after
  // the request is sent, so that it does not delay the request.
  if (client.fd.get() == fd) counts.syn_retransmits += retransmits(fd);
}

void ClientLife::greeting_timeout(std::uint32_t index) {
  const bool is_silent = clients_[index].done_bytes == 0;
  if (is_silent && connect_to_next_server(index)) return;
  request_failed(index, Failure::ungreeted, "");
}

// ---- request and reply -------------------------------------------------------------------------

void ClientLife::continue_ready(std::uint32_t index) {
  Client& client = clients_[index];
  const Nanoseconds now = monotonic_now();
  if (!schedule_.has_request(client.request, now)) return finish(index);
  if (!schedule_.is_open_loop()) return send_request(index, now);
  client.since = now;
  clients_.enter(index, ClientState::scheduled);
}

void ClientLife::send_request(std::uint32_t index, Nanoseconds intended) {
  Client& client = clients_[index];
  const Nanoseconds now = monotonic_now();
  client.since = intended;
  client.deadline = now + options_.reply_timeout;
  client.done_bytes = 0;
  client.in_flight = true;
  clients_.enter(index, ClientState::sending);
  if (results_.counts.first_send == 0) results_.counts.first_send = now;
  results_.counts.sent++;
  client.sent_at = now;
  if (options_.pid_by_reply) client.pid_length = 0;
  in_flight_.sent(now);
  request_writable(index, false);
}

// Sends what the socket takes of the request. `watches_room`: whether epoll watches the socket for
// room to send. It does so from here on exactly if a part of the request is left.
void ClientLife::request_writable(std::uint32_t index, bool watches_room) {
  Client& client = clients_[index];
  const std::string_view rest = texts_.request(index, client).substr(client.done_bytes);
  const ssize_t sent = send_some(client.fd.get(), rest);
  if (sent < 0) return request_failed(index, Failure::lost, std::strerror(errno));
  client.done_bytes += static_cast<std::uint32_t>(sent);
  const bool has_rest = sent < static_cast<ssize_t>(rest.size());
  if (has_rest != watches_room) sockets_.watch(client.fd.get(), index, has_rest);
  if (has_rest) return;
  client.done_bytes = 0;
  clients_.enter(index, ClientState::waiting);
}

void ClientLife::reply_received(std::uint32_t index, std::string_view bytes) {
  Client& client = clients_[index];
  if (options_.pid_by_reply) take_pid_of_reply(options_.reply, bytes, client);
  const std::string_view reply = texts_.reply(index, client);
  const std::string_view rest = reply.substr(client.done_bytes);
  if (!rest.starts_with(bytes)) {
    if (client.done_bytes == 0 && refused(index, bytes)) return;
    const std::string got = std::string(reply.substr(0, client.done_bytes)).append(bytes);
    return request_failed(index, Failure::mismatch,
                          "expected " + quoted(reply) + ", got " + quoted(got));
  }
  client.done_bytes += static_cast<std::uint32_t>(bytes.size());
  if (bytes.size() < rest.size()) return;
  if (!reply_complete(index)) return;
  if (options_.reconnect)
    reconnect(index);
  else
    continue_ready(index);
}

// The client is ready afterwards; false if the request has failed, since the reply has no pid.
bool ClientLife::reply_complete(std::uint32_t index) {
  Client& client = clients_[index];
  const Nanoseconds now = monotonic_now();
  if (options_.pid_by_reply) {
    const char* const pid_end = client.pid.data() + client.pid_length;
    if (std::from_chars(client.pid.data(), pid_end, client.pid_number).ec != std::errc{}) {
      request_failed(index, Failure::mismatch,
                     "got " + quoted(texts_.reply(index, client)) + ", without a pid");
      return false;
    }
    in_flight_.seen(client.pid_number);
  }
  results_.samples.reply.push_back(now - client.since);
  results_.counts.verified++;
  results_.counts.last_reply = now;
  in_flight_.ended(client.pid_number, client.sent_at, now);
  client.in_flight = false;
  client.request++;
  clients_.enter(index, ClientState::ready);
  return true;
}

void ClientLife::reply_timeout(std::uint32_t index) {
  request_failed(index, Failure::timeout, "");
}

// ---- failures and ends -------------------------------------------------------------------------

// Whether the bytes are the line of a refused client; then its request has failed.
bool ClientLife::refused(std::uint32_t index, std::string_view bytes) {
  if (!bytes.starts_with(options_.refusal)) return false;
  request_failed(index, Failure::refused, quoted(bytes.substr(0, bytes.find('\n'))));
  return true;
}

// Counts the present request as failed, and ends its connection.
void ClientLife::request_failed(std::uint32_t index, Failure kind, std::string_view detail) {
  Client& client = clients_[index];
  count_failure(index, kind, detail, 1);
  count_settled(client);
  disconnect(index);
  client.request++;
  if (!schedule_.has_request(client.request, monotonic_now())) return finish(index);
  if (client.failed_connects < kGiveUpAfter) return park(index);
  if (options_.requests > 0) {
    count_failure(index, Failure::unsent, "", options_.requests - client.request + 1);
    client.request = options_.requests + 1;
  }
  finish(index);
}

void ClientLife::count_failure(std::uint32_t index, Failure kind, std::string_view detail,
                               std::uint64_t times) {
  results_.add_failure(options_.first_number + index, kind, detail, times);
}

void ClientLife::count_settled(Client& client) {
  if (!client.settled) results_.counts.settled++;
  client.settled = true;
}

// Ends the connection, and connects again if the client has requests left.
void ClientLife::reconnect(std::uint32_t index) {
  disconnect(index);
  begin(index, monotonic_now());
}

void ClientLife::disconnect(std::uint32_t index) {
  Client& client = clients_[index];
  if (client.in_flight)
    in_flight_.ended(options_.pid_by_reply ? 0 : client.pid_number, client.sent_at,
                     monotonic_now());
  client.in_flight = false;
  client.fd.reset();
  clients_.enter(index, ClientState::idle);
}

// Delays the next connect, so that a server that ends every connection does not use all CPU time.
void ClientLife::park(std::uint32_t index) {
  clients_[index].deadline = monotonic_now() + kParkedFor;
  clients_.enter(index, ClientState::parked);
}

void ClientLife::finish(std::uint32_t index) {
  clients_[index].fd.reset();
  clients_.enter(index, ClientState::done);
}

}  // namespace kilofork
