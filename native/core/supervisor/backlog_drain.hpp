// Empties the accept queue of a server that stops: each connection is accepted, told why, and
// closed so that it can read that. Runs in the supervisor, which never waits for a client.
#pragma once

#include <sys/poll.h>

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace kilofork {

class BacklogDrain {
 public:
  BacklogDrain(int listener, std::string line, Nanoseconds linger)
      : listener_(listener), line_(std::move(line)), linger_(linger) {}

  // From now on the supervisor accepts. The children must have been told to stop.
  void begin();
  // Lets the kernel drop each SYN that arrives from now on, so that the queue can be emptied for
  // good. Where it would be closed with connections in it, these would be reset.
  void stop_accepting() const;

  // For poll(2): what to wait for.
  void add_to(std::vector<pollfd>& polled) const;
  // Accepts what waits, and parts from those that have read their line or had long enough.
  void run();
  [[nodiscard]] bool lingers() const { return !lingering_.empty(); }

 private:
  struct RefusedClient {
    Fd fd;
    Nanoseconds deadline;
  };
  int listener_;
  std::string line_;
  Nanoseconds linger_;
  bool accepting_ = false;
  bool out_of_means_ = false;  // descriptors or memory: until a guest has left
  std::vector<RefusedClient> lingering_;
};

}  // namespace kilofork
