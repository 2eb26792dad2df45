// The control channel between front and supervisor: a stream socket with short text lines, readable
// in a trace. This is the supervisor's end. docs/operations.md lists the lines.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "child/service.hpp"
#include "supervisor/sizing.hpp"

namespace kilofork {

// What the front sets before `start`, one line each: "max-line 1024".
struct PoolSettings {
  Service service{};
  PoolBounds limits{};
  std::size_t bytes_per_child = 0;   // of memory; what lacks is not forked,
  std::size_t memory_reserve = 0;    // and so much is left to others
  std::uint32_t log_epoch = 0;       // of the log that the supervisor is started with
  Nanoseconds grace = 0;             // from an order to stop until requests are cut
  Nanoseconds first_back_off = 0;    // before the next fork, after a child that died at birth;
  Nanoseconds longest_back_off = 0;  // doubled each time, up to this
};

// Applies a line to the settings. False: there is no such setting, or its value is malformed.
bool apply_setting(PoolSettings& settings, std::string_view line);

class Control {
 public:
  struct Line {
    std::string text;
    Fd passed;  // the descriptor that came with it
  };

  explicit Control(int fd) : fd_(fd) {}

  [[nodiscard]] int fd() const { return fd_; }
  // In a process that is forked, and must not have it, nor what came with lines not yet read.
  void close();
  // The next line; nothing when there is none yet (see at_end()). Waits for one if `wait`.
  std::optional<Line> read(bool wait);
  // True when no part of a line has been read: whoever reads on misses nothing.
  [[nodiscard]] bool is_between_lines() const { return received_.empty() && passed_.empty(); }
  // True, once the front is gone and every line of its has been read.
  [[nodiscard]] bool at_end() const { return ended_; }
  // Never waits: a front that is stopped must not stop the supervisor. False: it did not fit, and
  // is lost.
  bool send(std::string_view line) const;

 private:
  int fd_;
  std::string received_;
  std::deque<Fd> passed_;
  bool ended_ = false;
};

}  // namespace kilofork
