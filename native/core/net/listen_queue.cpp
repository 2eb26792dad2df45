#include "net/listen_queue.hpp"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace kilofork {

namespace {

constexpr const char* kStep = "ask the kernel for the accept queue (sock_diag)";

bool is_bound_to(const inet_diag_msg& socket, const Endpoint& endpoint) {
  const std::span<const std::byte> address = endpoint.address();
  return socket.idiag_family == endpoint.family() &&
         std::memcmp(socket.id.idiag_src, address.data(), address.size()) == 0;
}

// The kernel selects by family, state and port. It cannot select by address.
void send_request(int netlink, const Endpoint& endpoint) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 wanted;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.wanted.sdiag_family = static_cast<std::uint8_t>(endpoint.family());
  request.wanted.sdiag_protocol = IPPROTO_TCP;
  request.wanted.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
  request.wanted.idiag_states = 1 << TCP_LISTEN;
  request.wanted.id.idiag_sport = htons(endpoint.port());
  if (::send(netlink, &request, sizeof request, 0) < 0) fail(kStep);
}

// For a listening socket, idiag_rqueue and idiag_wqueue are the length and the limit of its accept
// queue. Source: sock_diag(7), tcp_diag_get_info() in net/ipv4/tcp_diag.c.
ListenQueue read_socket(const nlmsghdr& message) {
  const auto& socket = *static_cast<const inet_diag_msg*>(NLMSG_DATA(&message));
  ListenQueue queue{.waiting = socket.idiag_rqueue, .limit = socket.idiag_wqueue, .dropped = 0};
  constexpr std::size_t kDropsAt = SK_MEMINFO_DROPS * sizeof queue.dropped;
  auto length = static_cast<int>(NLMSG_PAYLOAD(&message, sizeof socket));
  for (const auto* part = reinterpret_cast<const rtattr*>(&socket + 1); RTA_OK(part, length);
       part = RTA_NEXT(part, length)) {
    if (part->rta_type == INET_DIAG_SKMEMINFO &&
        RTA_PAYLOAD(part) >= kDropsAt + sizeof queue.dropped)
      std::memcpy(&queue.dropped, static_cast<const std::byte*>(RTA_DATA(part)) + kDropsAt,
                  sizeof queue.dropped);
  }
  return queue;
}

}  // namespace

std::optional<ListenQueue> find_listen_queue(const Endpoint& endpoint) {
  const Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) fail(kStep);
  send_request(netlink.get(), endpoint);
  // The largest message of the kernel: netlink_dump() in net/netlink/af_netlink.c.
  alignas(nlmsghdr) std::array<std::byte, 32768> bytes{};
  std::optional<ListenQueue> found;
  for (;;) {
    const ssize_t got = ::recv(netlink.get(), bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(kStep);
    auto left = static_cast<std::uint32_t>(got);
    for (const auto* message = reinterpret_cast<const nlmsghdr*>(bytes.data());
         NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_DONE) return found;
      if (message->nlmsg_type == NLMSG_ERROR)
        throw SystemError(kStep, -static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error);
      const auto& socket = *static_cast<const inet_diag_msg*>(NLMSG_DATA(message));
      if (is_bound_to(socket, endpoint)) found = read_socket(*message);
    }
  }
}

}  // namespace kilofork
