// How a reopened log reaches children that were forked before: as one message, with the
// descriptor, in a datagram socket that all of them inherited. A child takes a copy with MSG_PEEK,
// which duplicates the descriptor and leaves the message for the others; so one message serves any
// number of children, and none needs a socket of its own. unix(7), recv(2).
#pragma once

#include <cstdint>
#include <optional>

#include "base/fd.hpp"

namespace kilofork {

struct LogHandoff {
  Fd give;  // the supervisor's
  Fd take;  // inherited by the children
};

struct OfferedLog {
  Fd fd;
  std::uint32_t generation;
};

// Supervisor. Throw SystemError.
LogHandoff make_log_handoff();
void offer_log(const LogHandoff& handoff, int log, std::uint32_t generation);

// Child. Nothing, when no log is offered at this moment.
std::optional<OfferedLog> peek_log(int take);
// Puts the log that is offered in the place of `log`, which is of that generation. False: no other
// one is offered at this moment.
bool take_log(int take, int log, std::uint32_t& generation);

}  // namespace kilofork
