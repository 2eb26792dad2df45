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
#include "keeper/batch.hpp"

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
    turn_over,  // the next line is for another turn
  };

  // The size of `input`.
  static std::size_t input_bytes(const Service& service);

  // The caller closes `fd`. A signal handler sets `stopping` and shuts the reading side.
  // `held`: bytes at the start of `input` were read in an earlier turn.
  Connection(int fd, const Service& service, std::span<char> input,
             const volatile sig_atomic_t& stopping, std::size_t held = 0)
      : fd_(fd), service_(service), input_(input), stopping_(stopping), end_(held) {}

  // Reads the next line. The idle timeout runs until its first byte has come, the read timeout from
  // then until its newline, however slowly the bytes come.
  //
  // With a process for each request it does not wait, reads once, and returns a bounded number of
  // lines; so one connection cannot keep a child.
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
  // With a process for each request the keeper waits.
  void linger(Nanoseconds timeout);

  // ---- for the keeper, after a turn ----
  [[nodiscard]] Fate fate() const { return fate_; }
  // What was read and not answered, if it was kept.
  [[nodiscard]] std::span<const char> unanswered() const {
    const bool is_kept = fate_ == Fate::kept || fate_ == Fate::more;
    return input_.subspan(start_, is_kept ? end_ - start_ : 0);
  }
  // Whether that begins a line which is newer than the turn.
  [[nodiscard]] bool has_begun_line() const { return lines_ > 0; }

 private:
  Got end_turn();
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
  std::size_t lines_ = 0;            // that next_line() has returned
  bool has_read_ = false;            // has called recv()
  bool is_full_ = false;             // the last recv() filled the input
  Fate fate_ = Fate::ended;
};

}  // namespace kilofork
