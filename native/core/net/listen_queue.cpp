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

#include "base/error.hpp"
#include "base/fd.hpp"
#include "net/endpoint.hpp"

namespace kilofork {

namespace {

constexpr const char* kStep = "ask the kernel for the accept queue (sock_diag)";

// As the kernel writes an address: IPv4 in the first of four words.
using AddressWords = std::array<std::uint32_t, 4>;
static_assert(sizeof(AddressWords) == sizeof(inet_diag_sockid::idiag_src));

AddressWords words_of(const SocketAddress& address) {
  AddressWords words{};
  if (address.family() == AF_INET)
    std::memcpy(words.data(), &reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr,
                sizeof(in_addr));
  else
    std::memcpy(words.data(), &reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr,
                sizeof(in6_addr));
  return words;
}

// The kernel picks by family, state and port. It cannot pick by address.
void send_request(int netlink, const SocketAddress& address) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 wanted;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.wanted.sdiag_family = static_cast<std::uint8_t>(address.family());
  request.wanted.sdiag_protocol = IPPROTO_TCP;
  request.wanted.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1);
  request.wanted.idiag_states = 1 << TCP_LISTEN;
  request.wanted.id.idiag_sport = htons(address.port());
  if (::send(netlink, &request, sizeof request, 0) < 0) fail(kStep);
}

// A listening socket has its queue where others have bytes. Source: inet_diag(7),
// tcp_diag_get_info() in net/ipv4/tcp_diag.c.
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

std::optional<ListenQueue> find_listen_queue(const std::string& address, std::uint16_t port) {
  const SocketAddress wanted(address, port);
  const AddressWords words = words_of(wanted);
  const Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) fail(kStep);
  send_request(netlink.get(), wanted);
  // No message of the kernel's is larger: NLMSG_GOODSIZE and netlink_dump() in
  // net/netlink/af_netlink.c.
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
      if (std::memcmp(socket.id.idiag_src, words.data(), sizeof words) == 0)
        found = read_socket(*message);
    }
  }
}

}  // namespace kilofork
