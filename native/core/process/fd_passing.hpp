// Sends and receives bytes together with open descriptors, over a unix(7) socket (SCM_RIGHTS).
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>
#include <string_view>

#include "base/fd.hpp"

namespace kilofork {

constexpr std::size_t kMostPassed = 32;  // in one message

// As sendmsg(2) with MSG_NOSIGNAL. At most kMostPassed descriptors.
ssize_t send_with_fds(int socket, std::span<const iovec> parts, std::span<const int> passed,
                      int flags);
// As recvmsg(2). Puts the descriptors, close-on-exec, into `passed`, which has room for
// kMostPassed, and says how many.
ssize_t receive_with_fds(int socket, std::span<const iovec> parts, std::span<int> passed,
                         std::size_t& count, int flags);

// The same with one descriptor, negative for none.
ssize_t send_with_fd(int socket, std::string_view bytes, int passed, int flags);
// Puts it into `passed` if there is one.
ssize_t receive_with_fd(int socket, std::span<char> bytes, Fd& passed, int flags);

}  // namespace kilofork
