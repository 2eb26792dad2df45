// One connection of a child: reads lines, writes what it is told, and closes so that the last word
// can still be read. Time-outs are the socket's own (SO_RCVTIMEO, SO_SNDTIMEO), so that a request
// costs one read and one write. Runs in a child; recv(2), send(2), tcp(7).
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "child/service.hpp"

namespace kilofork {

class Connection {
 public:
  enum class Got : std::uint8_t { line, last_line, end, too_long, timeout, stopped, lost };

  static std::size_t input_bytes(const Service& service);

  // `input`: input_bytes() of memory. `stopping` is set by a signal handler, which also shuts the
  // reading side down.
  Connection(Fd fd, const Service& service, std::span<char> input,
             const volatile sig_atomic_t& stopping)
      : fd_(std::move(fd)), service_(service), input_(input), stopping_(stopping) {}

  // The next line, without its newline. The idle time-out runs until its first byte is there, the
  // time-out for reading from then until its last, however they drip in.
  Got next_line();
  // Valid until the next of these calls.
  [[nodiscard]] std::string_view line() const { return line_; }
  // Whether something has arrived that was not yet a line.
  [[nodiscard]] bool has_more() const;
  // False: the client is gone, or reads too slowly.
  bool send(std::string_view bytes);
  // Sees to it that the client can read what was sent.
  void end(Nanoseconds patience);

 private:
  void wait_for_bytes(Nanoseconds timeout);

  const Fd fd_;
  const Service& service_;
  const std::span<char> input_;
  const volatile sig_atomic_t& stopping_;
  // [start_, end_) of input_ is what was read and not yet consumed; line_ lies before start_.
  std::size_t start_ = 0;
  std::size_t end_ = 0;
  std::string_view line_;
  Nanoseconds receive_timeout_ = 0;  // as set on the socket
};

}  // namespace kilofork
