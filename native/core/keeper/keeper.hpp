// The keeper: a process that holds the connections which have no request, where each request, and
// not each connection, has a process of its own. It accepts, greets, hands connections that have
// sent something to idle children (batch.hpp), and takes them back. It reads no byte of a client.
//
// Invariants:
//   - A connection waits, is ready, is in the batch of one child, or leaves.
//   - The keeper has a copy of every descriptor, and makes each end by shutdown(2): while a child
//     has a copy, close(2) sends nothing.
//   - epoll(7) is edge-triggered, so that a request costs no epoll_ctl(2). What comes while a child
//     has the connection is remembered (has_news).
//
// Its orders: SIGUSR2: stop, as for children; SIGQUIT, SIGTERM: leave at once. When it dies, the
// supervisor starts another, which gets the sockets of the children that live.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/clock.hpp"
#include "base/protocol.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {

// What it does for clients, as data.
struct KeeperService {
  Template greeting;  // of {pid}
  std::array<std::string, kRefusals> refusals;
  Nanoseconds idle_timeout;
  Nanoseconds read_timeout;
  Nanoseconds linger_timeout;
  std::uint64_t max_per_address;  // 0: no limit
  std::size_t longest_held;       // bytes of one connection
  std::size_t most_in_batch;
};

struct KeeperContext {
  const KeeperService& service;
  Scoreboard& scoreboard;
  pid_t supervisor;
  int listener;  // non-blocking
  int control;   // from the supervisor: sockets of new children
  int wakeup;
  std::span<const int> children;  // by slot: the keeper's end, or -1
  int predecessor;  // a socket to the keeper that hands over to this one; -1: there is none
};

// On the control socket, with as many descriptors. None with one descriptor is the order to hand
// over to another keeper, through that socket, and to leave.
struct NewChildren {
  std::uint32_t count;
  std::array<std::uint32_t, 32> slots;
};

// The new process, with all signals blocked.
[[noreturn]] void run_keeper(const KeeperContext& context);

}  // namespace kilofork
