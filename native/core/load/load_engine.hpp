// The load client's hot path: drives many clients from one thread through epoll(7). Each thread of
// `kilofork client` has one engine. It knows no protocol: it gets three templates (a greeting with
// {pid}, a request with {n}, the expected reply) and compares every byte.
//
// A client has one connection at a time. It connects, is greeted, and sends its requests one after
// the other; with `reconnect`, each request has a connection of its own. A request on a lost
// connection fails and is never sent again; the client reconnects for the next one. Times are of
// the monotonic clock.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "load/in_flight.hpp"
#include "load/load_options.hpp"
#include "load/load_results.hpp"

namespace kilofork {

class LoadEngine {
 public:
  struct Failures {
    std::uint64_t count;
    std::uint32_t first_client;  // the lowest number of a client with this failure
    std::string first_detail;    // of that client
  };
  struct Samples {                     // nanoseconds
    std::vector<Nanoseconds> connect;  // from connect() until greeted
    std::vector<Nanoseconds> reply;    // from the send (open loop: the intended send) to the reply
    std::vector<Nanoseconds> lag;  // of this client: how late it read a reply, or sent a request
  };
  struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t verified = 0;
    std::uint64_t failed = 0;
    std::uint64_t connections = 0;
    std::uint64_t syn_retransmits = 0;
    std::uint32_t greeted = 0;  // clients that were greeted at least once
    std::uint32_t settled = 0;  // clients that were greeted or have failed at least once
    Nanoseconds first_connect = 0;
    Nanoseconds first_send = 0;
    Nanoseconds last_reply = 0;
  };

  // `in_flight` outlives the engine. Throws SystemError.
  LoadEngine(LoadOptions options, InFlight& in_flight);

  // Works for about `time`, or less if all clients are done or there are many samples. True if all
  // clients are done. samples() has the samples of this step until the next one.
  bool step(Nanoseconds time);
  // Opens the barrier: greeted clients send.
  void release();

  [[nodiscard]] const Samples& samples() const { return samples_; }
  [[nodiscard]] const Counts& counts() const { return counts_; }
  [[nodiscard]] const std::array<Failures, kFailures>& failures() const { return failures_; }
  // The server that answered last.
  [[nodiscard]] const Endpoint& server() const { return options_.servers[preferred_]; }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;

  enum class State : std::uint8_t {
    idle,      // has not begun, or is parked before it connects again
    greeting,  // connects, or waits for the rest of the greeting
    ready,     // greeted, nothing in flight
    sending,   // a part of the request has been sent
    waiting,   // waits for the rest of the reply
    done,      // sends no further request
  };
  struct Client {
    Fd fd;
    State state = State::idle;
    std::uint8_t failed_connects = 0;
    std::uint8_t pid_length = 0;
    std::array<char, 10> pid{};
    std::uint32_t pid_number = 0;
    std::uint32_t server = 0;      // index of the endpoint it connects to
    std::uint32_t done_bytes = 0;  // of the greeting, request or reply, transferred so far
    bool in_flight = false;
    bool was_greeted = false;
    bool settled = false;
    std::uint64_t request = 1;  // the number of the present request
    Nanoseconds since = 0;      // when the connect, or the (intended) send, was made
    Nanoseconds deadline = 0;
    std::uint32_t previous = kNone;  // in its queue
    std::uint32_t next = kNone;
  };
  // A first-in, first-out list of clients, linked through Client::previous and next.
  struct Queue {
    std::uint32_t first = kNone;
    std::uint32_t last = kNone;
    std::uint32_t length = 0;
  };

  void connect_due(Nanoseconds now);
  void send_due(Nanoseconds now);
  void expire(Nanoseconds now);
  void wait(Nanoseconds until);
  void handle(std::uint32_t index, std::uint32_t events);

  void connect(std::uint32_t index);
  void connect_failed(std::uint32_t index, int error);
  bool try_next_server(std::uint32_t index);
  void read(std::uint32_t index);
  void ended_by_server(std::uint32_t index, int error);
  void take_greeting(std::uint32_t index, std::string_view bytes);
  void take_reply(std::uint32_t index, std::string_view bytes);
  void greeted(std::uint32_t index);
  void answered(std::uint32_t index);
  void reconnect_or_finish(std::uint32_t index);
  void next_request(std::uint32_t index);
  void send(std::uint32_t index, Nanoseconds intended);
  // `has_waited`: epoll watches for room to send. Watches again, or stops, as needed.
  void continue_sending(std::uint32_t index, bool has_waited);
  void fail_request(std::uint32_t index, Failure kind, std::string_view detail);
  void disconnect(std::uint32_t index);
  void park(std::uint32_t index);
  void finish(std::uint32_t index);
  void settle(Client& client);
  void count_failure(std::uint32_t index, Failure kind, std::string_view detail,
                     std::uint64_t times);

  void push(Queue& queue, std::uint32_t index);
  void remove(Queue& queue, std::uint32_t index);
  // The queue that the client is in, according to its state; null if none.
  Queue* queue_of(const Client& client);

  [[nodiscard]] std::string_view render(const Template& text, const Client& client);
  [[nodiscard]] std::uint32_t number_of(const Client& client) const;
  // Whether a client is left that has never connected, and the window has room for it.
  [[nodiscard]] bool may_begin() const;
  [[nodiscard]] bool is_over(Nanoseconds now) const;
  [[nodiscard]] bool has_more(const Client& client, Nanoseconds now) const;
  [[nodiscard]] Nanoseconds next_due(Nanoseconds until) const;

  const LoadOptions options_;
  InFlight& in_flight_;
  std::vector<Client> clients_;
  Fd epoll_;
  Queue greeting_;                 // by deadline
  Queue waiting_;                  // by deadline; sending clients too
  Queue parked_;                   // by deadline
  Queue ready_;                    // open loop: by the time of their last reply
  std::uint32_t next_client_ = 0;  // the next that connects for the first time
  std::uint32_t finished_ = 0;
  std::uint32_t preferred_ = 0;  // index of the server that answered last
  bool released_;
  Nanoseconds started_ = 0;
  Nanoseconds load_started_ = 0;  // durations and intended sends count from here
  std::uint64_t intended_ = 0;    // open loop: number of sends that have come due
  Samples samples_;
  Counts counts_;
  std::array<Failures, kFailures> failures_{};
  std::vector<char> scratch_;  // the last rendered text
  std::vector<char> received_;
};

}  // namespace kilofork
