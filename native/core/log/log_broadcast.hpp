// How a reopened log reaches children that were forked before: as one message, with the
// descriptor, in a datagram socket that all of them inherited. A child takes a copy with MSG_PEEK,
// which duplicates the descriptor and leaves the message for the others; so one message serves any
// number of children, and none needs a socket of its own. unix(7), recv(2).
#pragma once

#include <cstdint>
#include <optional>

#include "base/fd.hpp"

namespace kilofork {

struct LogBroadcast {
  Fd give;  // the supervisor's
  Fd take;  // inherited by the children
};

struct OfferedLog {
  Fd fd;
  std::uint32_t epoch;
};

// Supervisor. Throw SystemError.
LogBroadcast make_log_broadcast();
void publish_log(const LogBroadcast& log_broadcast, int log, std::uint32_t epoch);

// Child. Nothing, when no log is offered at this moment.
std::optional<OfferedLog> peek_log(int take);
// Puts the log that is offered in the place of `log`, which is of that epoch. False: no other
// one is offered at this moment.
bool receive_log(int take, int log, std::uint32_t& epoch);

}  // namespace kilofork
