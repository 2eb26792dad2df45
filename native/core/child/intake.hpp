// How a child gets its connections and gives them back: accept(2) on the listener that all
// children share. Runs in a child. Another way to get connections would offer the same functions to
// the child's loop and to its signal handlers. accept(2), poll(2).
#pragma once

#include <cstdint>

#include "child/child.hpp"

namespace kilofork {

class Intake {
 public:
  enum class Took : std::uint8_t {
    connection,  // fd() is the client's socket
    nothing,     // a signal came, or accept(2) failed in a way that may pass: try again
    broken,      // accept(2) failed: this child cannot serve
  };

  Intake(const ChildContext& context, const ChildSignals& signals, const Slot& slot);

  // Waits for the next connection.
  Took take();
  [[nodiscard]] int fd() const { return fd_; }
  // False if the client's address has more than the maximum number of connections; then the present
  // one no longer counts.
  bool admits();
  // Ends the present connection.
  void give_back();

  // ---- signal handlers ----
  // From now on take() returns at once.
  void close() const;
  // The present connection yields what has arrived, then an end of file.
  void end_input() const;

 private:
  [[nodiscard]] int accept();
  void report(int error);
  [[nodiscard]] std::uint64_t connections_of_peer() const;

  const ChildContext& context_;
  const ChildSignals& signals_;
  PeerAddress& peer_;
  volatile int fd_ = -1;  // -1 between connections
};

}  // namespace kilofork
