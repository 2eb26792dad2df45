#include "load/load_engine.hpp"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/error.hpp"
#include "base/escape.hpp"
#include "load/client_socket.hpp"

namespace kilofork {

namespace {

constexpr std::uint32_t kConnectsAtATime = 1024;  // between two calls of epoll_wait()
constexpr std::size_t kSamplesAtATime = 8192;
constexpr std::uint8_t kGiveUpAfter = 3;               // failed connects in a row
constexpr Nanoseconds kParkedFor = 10 * kMillisecond;  // after a failure
constexpr std::size_t kReceiveBytes = 65536;
constexpr std::size_t kDetailBytes = 200;

std::string quoted(std::string_view text) {
  std::string escaped(std::min(text.size(), kDetailBytes) * kLongestEscape, '\0');
  escaped.resize(static_cast<std::size_t>(escape(text.substr(0, kDetailBytes), escaped.data()) -
                                          escaped.data()));
  return '"' + escaped + '"';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

LoadEngine::LoadEngine(LoadOptions options, InFlight& in_flight)
    : options_(std::move(options)),
      in_flight_(in_flight),
      clients_(options_.clients),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      released_(!options_.barrier),
      received_(kReceiveBytes) {
  if (!epoll_) fail("epoll_create1");
}

bool LoadEngine::step(Nanoseconds time) {
  samples_.connect.clear();
  samples_.reply.clear();
  samples_.lag.clear();
  Nanoseconds now = monotonic_now();
  if (started_ == 0) started_ = now;
  if (load_started_ == 0 && released_) load_started_ = now;
  const Nanoseconds until = now + time;
  while (finished_ < clients_.size() && now < until && samples_.reply.size() < kSamplesAtATime &&
         samples_.connect.size() < kSamplesAtATime) {
    connect_due(now);
    send_due(now);
    expire(now);
    wait(until);
    now = monotonic_now();
  }
  return finished_ == clients_.size();
}

void LoadEngine::release() {
  if (released_) return;
  released_ = true;
  load_started_ = monotonic_now();
  for (std::uint32_t i = 0; i < clients_.size(); i++)
    if (clients_[i].state == State::ready) next_request(i);
}

// ---- what is due -------------------------------------------------------------------------------

// All clients that are due connect at once, as separate programs would, up to kConnectsAtATime:
// more would delay greetings and overflow the accept queue of a common server. A window no larger
// than that queue prevents an overflow, because a connection in the queue has no greeting yet.
void LoadEngine::connect_due(Nanoseconds now) {
  for (std::uint32_t k = 0; k < kConnectsAtATime && may_begin(); k++) {
    if (started_ + next_client_ * options_.ramp_step > now) break;
    const std::uint32_t index = next_client_++;
    if (is_over(now))
      finish(index);
    else
      connect(index);
  }
  while (parked_.first != kNone && clients_[parked_.first].deadline <= now) {
    const std::uint32_t index = parked_.first;
    remove(parked_, index);
    if (has_more(clients_[index], now))
      connect(index);
    else
      finish(index);
  }
}

// Open loop: the schedule does not wait for replies. If no client is free when a send is due, the
// send is late, and the delay is a part of its latency.
void LoadEngine::send_due(Nanoseconds now) {
  if (options_.interval == 0 || !released_) return;
  while (ready_.first != kNone) {
    const std::uint32_t index = ready_.first;
    const Nanoseconds intended =
        load_started_ + static_cast<Nanoseconds>(intended_) * options_.interval;
    const bool over = options_.duration > 0 && intended >= load_started_ + options_.duration;
    if (!over && intended > now) return;
    remove(ready_, index);
    if (over) {
      finish(index);
      continue;
    }
    intended_++;
    samples_.lag.push_back(now - std::max(intended, clients_[index].since));
    send(index, intended);
  }
}

void LoadEngine::expire(Nanoseconds now) {
  while (greeting_.first != kNone && clients_[greeting_.first].deadline <= now) {
    const std::uint32_t index = greeting_.first;
    const bool silent = clients_[index].done_bytes == 0;
    if (!silent || !try_next_server(index)) fail_request(index, Failure::ungreeted, "");
  }
  while (waiting_.first != kNone && clients_[waiting_.first].deadline <= now)
    fail_request(waiting_.first, Failure::timeout, "");
}

Nanoseconds LoadEngine::next_due(Nanoseconds until) const {
  for (const Queue* queue : {&greeting_, &waiting_, &parked_})
    if (queue->first != kNone) until = std::min(until, clients_[queue->first].deadline);
  if (may_begin()) until = std::min(until, started_ + next_client_ * options_.ramp_step);
  if (ready_.first != kNone && options_.interval > 0 && released_)
    until =
        std::min(until, load_started_ + static_cast<Nanoseconds>(intended_) * options_.interval);
  return until;
}

void LoadEngine::wait(Nanoseconds until) {
  std::array<epoll_event, 256> events{};
  const timespec timeout = to_timespec(std::max<Nanoseconds>(next_due(until) - monotonic_now(), 0));
  int count = ::epoll_pwait2(epoll_.get(), events.data(), events.size(), &timeout, nullptr);
  if (count < 0 && errno == ENOSYS) {  // before Linux 5.11: to the millisecond
    const auto ms = static_cast<int>(to_nanoseconds(timeout) / kMillisecond);
    count = ::epoll_wait(epoll_.get(), events.data(), events.size(), ms);
  }
  for (int i = 0; i < count; i++) {
    const auto& event = events.at(static_cast<std::size_t>(i));
    handle(event.data.u32, event.events);
  }
}

// ---- one client, in the order of its life ------------------------------------------------------

void LoadEngine::connect(std::uint32_t index) {
  Client& client = clients_[index];
  client.server = std::max(client.server, preferred_);
  const Endpoint& server = options_.servers[client.server];
  client.fd.reset(::socket(server.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  client.state = State::greeting;
  client.done_bytes = 0;
  client.pid_length = 0;
  client.since = monotonic_now();
  client.deadline = client.since + options_.connect_timeout;
  if (counts_.first_connect == 0) counts_.first_connect = client.since;
  push(greeting_, index);
  if (!client.fd) return connect_failed(index, errno);
  const int on = 1;
  ::setsockopt(client.fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  if (options_.from) {
    // connect() chooses the port, not bind(): it needs a port that is free for this server only.
    ::setsockopt(client.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (::bind(client.fd.get(), options_.from->get(), options_.from->length()) != 0)
      return connect_failed(index, errno);
  }
  if (::connect(client.fd.get(), server.get(), server.length()) != 0 && errno != EINPROGRESS)
    return connect_failed(index, errno);
  epoll_event event{.events = EPOLLIN, .data = {.u32 = index}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, client.fd.get(), &event) != 0)
    return connect_failed(index, errno);
}

void LoadEngine::connect_failed(std::uint32_t index, int error) {
  if (try_next_server(index)) return;
  Client& client = clients_[index];
  client.server = 0;
  client.failed_connects++;
  fail_request(index, Failure::connect, std::strerror(error));
}

// Connects to the next endpoint of the server. False if this was the last one.
bool LoadEngine::try_next_server(std::uint32_t index) {
  Client& client = clients_[index];
  if (client.server + 1 >= options_.servers.size()) return false;
  disconnect(index);
  client.server++;
  connect(index);
  return true;
}

void LoadEngine::handle(std::uint32_t index, std::uint32_t events) {
  Client& client = clients_[index];
  if (client.state == State::sending && (events & EPOLLOUT) != 0) continue_sending(index, true);
  if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 && client.fd) read(index);
}

void LoadEngine::read(std::uint32_t index) {
  Client& client = clients_[index];
  const Received received = receive(client.fd.get(), received_);
  if (received.bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received.bytes <= 0) return ended_by_server(index, received.bytes < 0 ? errno : 0);
  const std::string_view bytes(received_.data(), static_cast<std::size_t>(received.bytes));
  if (client.state == State::greeting) return take_greeting(index, bytes);
  if (client.state != State::waiting)
    return fail_request(index, Failure::mismatch, "unasked for: " + quoted(bytes));
  if (received.arrived) samples_.lag.push_back(realtime_now() - *received.arrived);
  take_reply(index, bytes);
}

// `error` is an errno value, or 0 for end of file.
void LoadEngine::ended_by_server(std::uint32_t index, int error) {
  Client& client = clients_[index];
  if (error == 0) error = pending_error(client.fd.get());
  const char* detail = error == 0 ? "closed by the server" : std::strerror(error);
  switch (client.state) {
    case State::greeting:
      if (error != 0 && client.done_bytes == 0) return connect_failed(index, error);
      return fail_request(index, Failure::lost, detail);
    case State::waiting: {
      // A reply may end with the end of file instead of its newline.
      const std::string_view expected = render(options_.reply, client);
      if (error == 0 && client.done_bytes + 1 == expected.size() && expected.ends_with('\n')) {
        answered(index);
        return reconnect_or_finish(index);
      }
      return fail_request(index, Failure::lost, detail);
    }
    case State::ready:  // no request is lost
      disconnect(index);
      return park(index);
    default:
      return fail_request(index, Failure::lost, detail);
  }
}

// Compares the greeting as it comes, byte by byte; in the place of {pid} it takes digits.
void LoadEngine::take_greeting(std::uint32_t index, std::string_view bytes) {
  Client& client = clients_[index];
  client.failed_connects = 0;
  std::size_t used = 0;
  std::uint32_t position = client.done_bytes;  // in the literal parts: digits are not counted
  std::size_t part_start = 0;
  bool complete = true;
  for (const Template::Part& part : options_.greeting.parts()) {
    while (position < part_start + part.literal.size() && used < bytes.size()) {
      if (bytes[used] != part.literal[position - part_start])
        return fail_request(index, Failure::greeting, "got " + quoted(bytes));
      position++;
      used++;
    }
    part_start += part.literal.size();
    if (position < part_start) {
      complete = false;
      break;
    }
    if (part.field != Template::Field::pid) continue;
    if (position > part_start) continue;  // the digits were taken before
    while (used < bytes.size() && is_digit(bytes[used]) && client.pid_length < client.pid.size())
      client.pid.at(client.pid_length++) = bytes[used++];
    if (used == bytes.size()) {
      complete = false;
      break;
    }
    if (client.pid_length == 0)
      return fail_request(index, Failure::greeting, "got " + quoted(bytes));
  }
  client.done_bytes = position;
  if (!complete) return;
  if (used < bytes.size())
    return fail_request(index, Failure::greeting, "got " + quoted(bytes) + " after the greeting");
  const char* const pid_end = client.pid.data() + client.pid_length;
  if (client.pid_length > 0 &&
      std::from_chars(client.pid.data(), pid_end, client.pid_number).ec != std::errc{})
    return fail_request(index, Failure::greeting, "got a pid beyond any number");
  greeted(index);
}

void LoadEngine::greeted(std::uint32_t index) {
  Client& client = clients_[index];
  samples_.connect.push_back(monotonic_now() - client.since);
  preferred_ = client.server;
  counts_.connections++;
  if (!client.was_greeted) counts_.greeted++;
  client.was_greeted = true;
  in_flight_.greeted(client.pid_number);
  remove(greeting_, index);
  client.state = State::ready;
  settle(client);
  const int fd = client.fd.get();
  if (released_) next_request(index);
  // Only the SYN can have been sent again before the greeting. Read after the request is sent, so
  // that it does not delay the request.
  if (client.fd.get() == fd) counts_.syn_retransmits += retransmits(fd);
}

// Called when the client is ready: it sends, waits for the schedule, or is done.
void LoadEngine::next_request(std::uint32_t index) {
  Client& client = clients_[index];
  const Nanoseconds now = monotonic_now();
  client.state = State::ready;
  if (!has_more(client, now)) return finish(index);
  if (options_.interval == 0) return send(index, now);
  client.since = now;
  push(ready_, index);
}

void LoadEngine::send(std::uint32_t index, Nanoseconds intended) {
  Client& client = clients_[index];
  const Nanoseconds now = monotonic_now();
  client.state = State::sending;
  client.since = intended;
  client.deadline = now + options_.reply_timeout;
  client.done_bytes = 0;
  client.in_flight = true;
  if (counts_.first_send == 0) counts_.first_send = now;
  counts_.sent++;
  push(waiting_, index);
  in_flight_.sent(client.pid_number, now);
  continue_sending(index, false);
}

void LoadEngine::continue_sending(std::uint32_t index, bool has_waited) {
  Client& client = clients_[index];
  const std::string_view rest = render(options_.request, client).substr(client.done_bytes);
  const ssize_t sent =
      ::send(client.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN && errno != EINTR)
    return fail_request(index, Failure::lost, std::strerror(errno));
  client.done_bytes += static_cast<std::uint32_t>(std::max<ssize_t>(sent, 0));
  const bool complete = sent == static_cast<ssize_t>(rest.size());
  if (has_waited == complete) {
    epoll_event event{.events = complete ? EPOLLIN : EPOLLIN | EPOLLOUT, .data = {.u32 = index}};
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, client.fd.get(), &event);
  }
  if (!complete) return;
  client.state = State::waiting;
  client.done_bytes = 0;
}

void LoadEngine::take_reply(std::uint32_t index, std::string_view bytes) {
  Client& client = clients_[index];
  const std::string_view expected = render(options_.reply, client);
  const std::string_view rest = expected.substr(client.done_bytes);
  if (bytes != rest.substr(0, bytes.size())) {
    const std::string got = std::string(expected.substr(0, client.done_bytes)).append(bytes);
    return fail_request(index, Failure::mismatch,
                        "expected " + quoted(expected) + ", got " + quoted(got));
  }
  client.done_bytes += static_cast<std::uint32_t>(bytes.size());
  if (bytes.size() != rest.size()) return;
  answered(index);
  if (options_.reconnect)
    reconnect_or_finish(index);
  else
    next_request(index);
}

void LoadEngine::answered(std::uint32_t index) {
  Client& client = clients_[index];
  const Nanoseconds now = monotonic_now();
  samples_.reply.push_back(now - client.since);
  counts_.verified++;
  counts_.last_reply = now;
  remove(waiting_, index);
  in_flight_.ended(client.pid_number, now);
  client.in_flight = false;
  client.request++;
  client.state = State::idle;
}

// Reconnects, if the client has requests left.
void LoadEngine::reconnect_or_finish(std::uint32_t index) {
  disconnect(index);
  if (has_more(clients_[index], monotonic_now()))
    connect(index);
  else
    finish(index);
}

// Counts the present request as failed, and ends its connection.
void LoadEngine::fail_request(std::uint32_t index, Failure kind, std::string_view detail) {
  Client& client = clients_[index];
  count_failure(index, kind, detail, 1);
  settle(client);
  disconnect(index);
  client.request++;
  const Nanoseconds now = monotonic_now();
  if (!has_more(client, now)) return finish(index);
  if (client.failed_connects >= kGiveUpAfter) {
    if (options_.requests > 0)
      count_failure(index, Failure::unsent, "", options_.requests - client.request + 1);
    return finish(index);
  }
  park(index);
}

// Delays the next connect, so that a server that ends every connection does not use all CPU time.
void LoadEngine::park(std::uint32_t index) {
  Client& client = clients_[index];
  client.state = State::idle;
  client.deadline = monotonic_now() + kParkedFor;
  push(parked_, index);
}

void LoadEngine::disconnect(std::uint32_t index) {
  Client& client = clients_[index];
  if (Queue* queue = queue_of(client)) remove(*queue, index);
  if (client.in_flight) in_flight_.ended(client.pid_number, monotonic_now());
  client.in_flight = false;
  client.fd.reset();
  client.state = State::idle;
}

void LoadEngine::finish(std::uint32_t index) {
  clients_[index].fd.reset();
  clients_[index].state = State::done;
  finished_++;
}

void LoadEngine::settle(Client& client) {
  if (!client.settled) counts_.settled++;
  client.settled = true;
}

void LoadEngine::count_failure(std::uint32_t index, Failure kind, std::string_view detail,
                               std::uint64_t times) {
  if (times == 0) return;
  Failures& failures = failures_.at(static_cast<std::size_t>(kind));
  const std::uint32_t client = number_of(clients_[index]);
  if (failures.count == 0 || client < failures.first_client) {
    failures.first_client = client;
    failures.first_detail = detail;
  }
  failures.count += times;
  counts_.failed += times;
}

// ---- small things ------------------------------------------------------------------------------

bool LoadEngine::is_over(Nanoseconds now) const {
  return options_.duration > 0 && load_started_ > 0 && now >= load_started_ + options_.duration;
}

bool LoadEngine::has_more(const Client& client, Nanoseconds now) const {
  return (options_.requests == 0 || client.request <= options_.requests) && !is_over(now);
}

bool LoadEngine::may_begin() const {
  return next_client_ < clients_.size() &&
         (options_.window == 0 || greeting_.length < options_.window);
}

std::uint32_t LoadEngine::number_of(const Client& client) const {
  return options_.first_number + static_cast<std::uint32_t>(&client - clients_.data());
}

// {n} is the client's number; with several requests per client, a point and the request's number
// follow.
std::string_view LoadEngine::render(const Template& text, const Client& client) {
  std::array<char, 40> n{};
  char* end = std::to_chars(n.data(), n.data() + 10, number_of(client)).ptr;
  if (options_.requests != 1) {
    *end++ = '.';
    end = std::to_chars(end, n.data() + n.size(), client.request).ptr;
  }
  const Template::Values values{.pid = {client.pid.data(), client.pid_length},
                                .user = {},
                                .message = {},
                                .n = {n.data(), static_cast<std::size_t>(end - n.data())}};
  scratch_.resize(std::max(scratch_.size(), text.size(values)));
  const char* const rendered_end = text.render(values, scratch_.data());
  return {scratch_.data(), static_cast<std::size_t>(rendered_end - scratch_.data())};
}

LoadEngine::Queue* LoadEngine::queue_of(const Client& client) {
  switch (client.state) {
    case State::greeting:
      return &greeting_;
    case State::sending:
    case State::waiting:
      return &waiting_;
    case State::ready:
      return options_.interval > 0 && released_ ? &ready_ : nullptr;
    default:
      return nullptr;
  }
}

void LoadEngine::push(Queue& queue, std::uint32_t index) {
  clients_[index].previous = queue.last;
  clients_[index].next = kNone;
  (queue.last == kNone ? queue.first : clients_[queue.last].next) = index;
  queue.last = index;
  queue.length++;
}

void LoadEngine::remove(Queue& queue, std::uint32_t index) {
  const Client& client = clients_[index];
  (client.previous == kNone ? queue.first : clients_[client.previous].next) = client.next;
  (client.next == kNone ? queue.last : clients_[client.next].previous) = client.previous;
  queue.length--;
}

}  // namespace kilofork
