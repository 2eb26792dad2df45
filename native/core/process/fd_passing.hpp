// Sends and receives bytes together with an open descriptor, over a unix(7) socket (SCM_RIGHTS).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "base/fd.hpp"

namespace kilofork {

// As sendmsg(2) with MSG_NOSIGNAL. `passed`: the descriptor, negative for none.
ssize_t send_with_fd(int socket, std::string_view bytes, int passed, int flags);

// As recvmsg(2). Puts the descriptor, close-on-exec, into `passed` if there is one.
ssize_t receive_with_fd(int socket, std::span<char> bytes, Fd& passed, int flags);

}  // namespace kilofork
