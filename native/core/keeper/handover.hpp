// What a keeper hands over to the one that replaces it, on a SOCK_SEQPACKET socket: its children,
// then its connections with their descriptors, in pieces. The end of file, or a piece that is not
// understood, ends it. Runs in both keepers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "keeper/connections.hpp"

namespace kilofork {

struct HandedConnection {
  int fd;
  KeptConnection::State state;
  KeptConnection::Limit limit;
  bool has_news;
  bool has_ended;
  bool is_late;
  std::uint16_t held;  // bytes
  std::uint32_t slot;  // of the child that has it, and its place in the child's batch
  std::uint32_t entry;
  Nanoseconds deadline;
  Connections::Address address;
};

struct HandedChild {
  std::uint32_t slot;
  bool is_idle;
  std::uint32_t ticket;
  std::uint32_t count;
};

// The old keeper. Both allocate nothing, and wait for room. False if the new one is gone.
bool hand_over(int socket, const HandedChild& child);
bool hand_over(int socket, const HandedConnection& connection, std::span<const char> held);

// The new keeper.
class Takeover {
 public:
  // `longest_held`: bytes of one connection.
  Takeover(int socket, std::size_t longest_held);

  // The next piece; false at the end.
  bool receive();
  [[nodiscard]] const HandedChild* child() const { return child_ ? &*child_ : nullptr; }
  [[nodiscard]] const HandedConnection* connection() const {
    return connection_ ? &*connection_ : nullptr;
  }
  [[nodiscard]] std::span<const char> held() const { return held_; }

 private:
  const int socket_;
  std::vector<char> bytes_;
  std::optional<HandedChild> child_;
  std::optional<HandedConnection> connection_;
  std::span<const char> held_;
};

}  // namespace kilofork
