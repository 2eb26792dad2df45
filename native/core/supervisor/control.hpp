// The supervisor's end of the control channel: a stream socket to the front that carries short
// lines of text. Some lines from the front bring a descriptor (process/fd_passing.hpp).
// docs/operations.md lists the lines; settings.hpp has those before `start`. Runs in the
// supervisor.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"

namespace kilofork {

class Control {
 public:
  struct Line {
    std::string text;
    Fd passed;  // the descriptor that came with it
  };

  explicit Control(int fd) : fd_(fd) {}

  [[nodiscard]] int fd() const { return fd_; }
  // The next line, if there is one. With `wait`, waits for it; then the result is empty at the end
  // only.
  std::optional<Line> read(bool wait);
  // True if neither a part of a line nor a descriptor is held here, so that another reader of the
  // same socket can go on from this point.
  [[nodiscard]] bool is_between_lines() const { return received_.empty() && passed_.empty(); }
  // True once the front has closed its end, and every line has been read.
  [[nodiscard]] bool at_end() const { return ended_; }
  // Sends a line. Does not wait, since a front that is stopped must not stop the supervisor. False
  // if the socket had no room; then the line is lost.
  bool send(std::string_view line) const;

 private:
  int fd_;
  std::string received_;
  std::deque<Fd> passed_;
  bool ended_ = false;
};

}  // namespace kilofork
