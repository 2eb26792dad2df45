// How a child gets connections and gives them back. There are two ways: accept_intake.hpp and
// keeper_intake.hpp. Runs in a child; the last three functions also in its signal handlers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "child/connection.hpp"

namespace kilofork {

class Intake {
 public:
  enum class Took : std::uint8_t {
    connection,  // the functions below are about it
    nothing,     // a signal came, or an error that may pass: try again
    broken,      // this child cannot serve
  };

  Intake() = default;
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;
  virtual ~Intake() = default;

  // Whether take() waits: false if it has another connection already.
  [[nodiscard]] virtual bool will_wait() const = 0;
  virtual Took take() = 0;
  [[nodiscard]] int fd() const { return fd_; }
  // How many bytes of it were read in an earlier turn; they are in the child's input.
  [[nodiscard]] virtual std::size_t held() const { return 0; }
  // Whether another process has greeted its client.
  [[nodiscard]] virtual bool is_greeted() const { return false; }
  // False if the client's address has more than the maximum number of connections; then the present
  // one no longer counts.
  virtual bool admits() { return true; }
  // The turn of the present connection is over.
  virtual void give_back(const Connection& connection) = 0;
  // The child leaves, and is not in the middle of a turn.
  virtual void leave() {}

  // From now on take() returns at once.
  virtual void close() const = 0;
  // The present connection yields what has arrived, then an end of file.
  virtual void end_input() const = 0;
  // Closes all connections that this process has.
  virtual void drop() = 0;

 protected:
  volatile int fd_ = -1;  // of the present connection; -1 between two
};

}  // namespace kilofork
