#include "log/log_broadcast.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/error.hpp"
#include "process/fd_passing.hpp"

namespace kilofork {

LogBroadcast make_log_broadcast() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    fail("socketpair for the log");
  return {.publish = Fd(ends[0]), .receive = Fd(ends[1])};
}

void publish_log(const LogBroadcast& broadcast, int log, std::uint32_t epoch) {
  // Withdraw the last message first; reading it without asking for its descriptor closes that. A
  // child that receives in between finds no message, keeps its log, and tries again before its next
  // record.
  char discarded = 0;
  while (::recv(broadcast.receive.get(), &discarded, sizeof discarded, MSG_DONTWAIT) >= 0) continue;
  std::array<char, sizeof epoch> bytes{};
  std::memcpy(bytes.data(), &epoch, sizeof epoch);
  if (send_with_fd(broadcast.publish.get(), {bytes.data(), bytes.size()}, log, MSG_DONTWAIT) < 0)
    fail("publish the log");
}

std::optional<PublishedLog> peek_log(int receive) {
  PublishedLog published{};
  std::array<char, sizeof published.epoch> bytes{};
  const ssize_t received = receive_with_fd(receive, bytes, published.fd, MSG_PEEK | MSG_DONTWAIT);
  if (received != static_cast<ssize_t>(bytes.size()) || !published.fd) return std::nullopt;
  std::memcpy(&published.epoch, bytes.data(), sizeof published.epoch);
  return published;
}

bool receive_log(int receive, int log, std::uint32_t& epoch) {
  const auto published = peek_log(receive);
  if (!published || published->epoch == epoch) return false;
  ::dup3(published->fd.get(), log, O_CLOEXEC);
  epoch = published->epoch;
  return true;
}

}  // namespace kilofork
