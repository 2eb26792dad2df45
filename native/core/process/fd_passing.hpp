// Bytes with an open descriptor beside them, over a unix(7) socket.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "base/fd.hpp"

namespace kilofork {

// As sendmsg(2), with MSG_NOSIGNAL; `passed` goes along unless it is negative.
ssize_t send_with_fd(int socket, std::string_view bytes, int passed, int flags);

// As recvmsg(2); a descriptor that came along is put into `passed`, close-on-exec.
ssize_t receive_with_fd(int socket, std::span<char> bytes, Fd& passed, int flags);

}  // namespace kilofork
