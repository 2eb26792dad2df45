// Gives a reopened log to processes that were forked before: one message, with the descriptor, in a
// datagram socket that all of them inherited.
//
// A child receives with MSG_PEEK, which duplicates the descriptor and leaves the message for the
// others. One message serves any number of children. unix(7), recv(2).
#pragma once

#include <cstdint>
#include <optional>

#include "base/fd.hpp"

namespace kilofork {

struct LogBroadcast {
  Fd publish;  // the supervisor's end
  Fd receive;  // inherited by forker and children
};

struct PublishedLog {
  Fd fd;
  std::uint32_t epoch;
};

// Supervisor. Both throw SystemError.
LogBroadcast make_log_broadcast();
void publish_log(const LogBroadcast& broadcast, int log, std::uint32_t epoch);

// Child. `receive`: its end. Nothing if no log is published at this moment.
std::optional<PublishedLog> peek_log(int receive);
// Puts the published log in the place of the descriptor `log` and its epoch in `epoch`. False, and
// nothing changes, if no log of another epoch is published at this moment.
bool receive_log(int receive, int log, std::uint32_t& epoch);

}  // namespace kilofork
