// Drains the accept queue of a server that stops: accepts each connection, sends it the refusal,
// and closes it once the client has read that. Runs in the supervisor, and never waits for a
// client.
#pragma once

#include <sys/poll.h>

#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"

namespace kilofork {

class BacklogDrain {
 public:
  // `line`: the refusal. `linger`: how long a client may take to read it.
  BacklogDrain(int listener, std::string line, Nanoseconds linger)
      : listener_(listener), line_(std::move(line)), linger_(linger) {}

  // The supervisor accepts from now on. Called after the children were told to stop.
  void begin();
  // Makes the kernel drop new SYNs, so that the queue stays empty. Closing the listener with
  // connections in its queue would reset them.
  void stop_accepting() const;

  // What poll(2) is to wait for.
  void add_to(std::vector<pollfd>& polled) const;
  // In the loop: accepts and refuses all that wait, and closes those that have read their line or
  // had their time.
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
  bool is_exhausted_ = false;  // no descriptor or memory is free, until a client has left
  std::vector<RefusedClient> lingering_;
};

}  // namespace kilofork
