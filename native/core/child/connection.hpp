// The connection of a child's present client: reads lines, writes texts, and lingers so that the
// client can read a refusal. Timeouts are the socket's own (SO_RCVTIMEO, SO_SNDTIMEO), so that a
// request costs one read and one write. Runs in a child. recv(2), send(2), socket(7), tcp(7).
#pragma once

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/clock.hpp"
#include "child/service.hpp"

namespace kilofork {

class Connection {
 public:
  enum class Got : std::uint8_t {
    line,       // line() ended with a newline
    last_line,  // line() ended with the end of file
    end,        // end of file, and no line before it
    too_long,   // no newline within the longest line
    timeout,    // no complete line in time
    stopped,    // the server stops
    lost,       // recv() failed
  };

  // The size of `input`.
  static std::size_t input_bytes(const Service& service);

  // The caller closes `fd`. A signal handler sets `stopping` and shuts the reading side.
  Connection(int fd, const Service& service, std::span<char> input,
             const volatile sig_atomic_t& stopping)
      : fd_(fd), service_(service), input_(input), stopping_(stopping) {}

  // Reads the next line. The idle timeout runs until its first byte has come, the read timeout from
  // then until its newline, however slowly the bytes come.
  Got next_line();
  // The line without its newline; valid until the next call of next_line() or linger().
  [[nodiscard]] std::string_view line() const { return line_; }
  // Whether bytes have come that next_line() has not returned.
  [[nodiscard]] bool has_unread_input() const;
  // Sends all of `bytes`. False if the client is gone, or the write timeout has passed; a part may
  // have been sent then.
  bool send(std::string_view bytes);
  // Ends the sending side, and waits until the client can have read all that was sent; `timeout` at
  // most. 0: takes what has come, and does not wait.
  void linger(Nanoseconds timeout);

 private:
  void set_timeout(Nanoseconds timeout);

  const int fd_;
  const Service& service_;
  const std::span<char> input_;
  const volatile sig_atomic_t& stopping_;
  // [start_, end_) of input_ was read and not yet returned; line_ lies before start_.
  std::size_t start_ = 0;
  std::size_t end_ = 0;
  std::string_view line_;
  Nanoseconds receive_timeout_ = 0;  // as set on the socket
};

}  // namespace kilofork
