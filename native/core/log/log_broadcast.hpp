// Gives a reopened log to processes that were forked before. The supervisor sends one message, with
// the descriptor, to a datagram socket that all of them have inherited. They receive it with
// MSG_PEEK, which duplicates the descriptor and leaves the message for the others; so one message
// serves any number of children. unix(7), recv(2).
#pragma once

#include <cstdint>
#include <optional>

#include "base/fd.hpp"

namespace kilofork {

struct LogBroadcast {
  Fd publish;  // the supervisor's end
  Fd receive;  // the end of forker and children
};

struct PublishedLog {
  Fd fd;
  std::uint32_t epoch;
};

// Supervisor. Both throw SystemError. A log that is published replaces the one before.
LogBroadcast make_log_broadcast();
void publish_log(const LogBroadcast& broadcast, int log, std::uint32_t epoch);

// Forker and child. `receive`: their end. Empty if no log is published at this moment.
std::optional<PublishedLog> peek_log(int receive);
// Puts the published log in the place of the descriptor `log`, and its epoch into `epoch`. False,
// with nothing changed, if no log of another epoch than `epoch` is published at this moment.
bool receive_log(int receive, int log, std::uint32_t& epoch);

}  // namespace kilofork
