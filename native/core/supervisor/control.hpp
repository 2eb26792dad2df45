// The supervisor's end of the control channel: a stream socket to the front with short text lines,
// readable in a trace. With some lines comes a descriptor (unix(7), SCM_RIGHTS). docs/operations.md
// lists the lines; settings.hpp has those before `start`.
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
  // Called by a process that the supervisor has forked: closes the channel, and the descriptors of
  // lines that have not been read yet.
  void close();
  // The next line, if there is one. With `wait`, waits for it: then there is none at the end only.
  std::optional<Line> read(bool wait);
  // True if no part of a line, and no descriptor, is held here: another reader of the same socket
  // can go on from this point.
  [[nodiscard]] bool is_between_lines() const { return received_.empty() && passed_.empty(); }
  // True when the front has closed its end, and every line of it has been read.
  [[nodiscard]] bool at_end() const { return ended_; }
  // Sends a line without waiting, since a front that is stopped must not stop the supervisor. False
  // if it did not fit into the socket; then the line is lost.
  bool send(std::string_view line) const;

 private:
  int fd_;
  std::string received_;
  std::deque<Fd> passed_;
  bool ended_ = false;
};

}  // namespace kilofork
