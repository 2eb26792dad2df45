#include "log/log_broadcast.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <span>

#include "base/error.hpp"
#include "process/fd_passing.hpp"

namespace kilofork {

LogBroadcast make_log_broadcast() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    fail("socketpair for the log");
  return {.give = Fd(ends[0]), .take = Fd(ends[1])};
}

void publish_log(const LogBroadcast& log_broadcast, int log, std::uint32_t epoch) {
  // The last offer is withdrawn first; its descriptor is dropped by not being asked for. A child
  // that looks in between finds nothing, goes on with the log that it has, and looks again before
  // its next record.
  char discarded = 0;
  while (::recv(log_broadcast.take.get(), &discarded, sizeof discarded, MSG_DONTWAIT) >= 0)
    continue;
  std::array<char, sizeof epoch> bytes{};
  std::memcpy(bytes.data(), &epoch, sizeof epoch);
  if (send_with_fd(log_broadcast.give.get(), {bytes.data(), bytes.size()}, log, MSG_DONTWAIT) < 0)
    fail("offer the log");
}

std::optional<OfferedLog> peek_log(int take) {
  OfferedLog offered{};
  std::array<char, sizeof offered.epoch> bytes{};
  const ssize_t received = receive_with_fd(take, bytes, offered.fd, MSG_PEEK | MSG_DONTWAIT);
  if (received != static_cast<ssize_t>(bytes.size()) || !offered.fd) return std::nullopt;
  std::memcpy(&offered.epoch, bytes.data(), sizeof offered.epoch);
  return offered;
}

bool receive_log(int take, int log, std::uint32_t& epoch) {
  const auto offered = peek_log(take);
  if (!offered || offered->epoch == epoch) return false;
  ::dup3(offered->fd.get(), log, O_CLOEXEC);
  epoch = offered->epoch;
  return true;
}

}  // namespace kilofork
