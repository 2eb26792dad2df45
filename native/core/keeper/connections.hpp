// The connections that a keeper holds: a table of fixed size, the queue of those that are ready for
// a child, and a list for each time limit. Makes no system call after it is made, and allocates
// nothing, so the keeper's filter need allow neither. Runs in the keeper.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.hpp"

namespace kilofork {

struct KeptConnection {
  enum class State : std::uint8_t {
    free,
    waiting,  // for its client
    ready,    // has sent something: is in the queue
    busy,     // is in a batch
    leaving,  // was told why it ends, and has time to read it
  };
  // What a time limit is on.
  enum class Limit : std::uint8_t { none, first_byte, line, leaving };

  int fd = -1;
  State state = State::free;
  Limit limit = Limit::none;
  bool has_news = false;   // something came while it was busy
  bool has_ended = false;  // the client has ended its side, or the connection is lost
  bool is_late = false;    // the time limit of its line has passed
  std::uint16_t held = 0;  // bytes
  std::uint32_t held_at = 0;
  std::uint32_t slot = 0;  // while it is busy: of its child, and its place in the batch
  std::uint32_t entry = 0;
  std::uint32_t before = 0;  // in the list of its limit
  std::uint32_t after = 0;
  Nanoseconds deadline = kNever;
};

class Connections {
 public:
  using Limit = KeptConnection::Limit;
  static constexpr std::uint32_t kNone = UINT32_MAX;
  using Address = std::array<std::uint64_t, 2>;

  // `longest_held`: bytes that are held of one connection. `limits`: by Limit; 0: no limit.
  Connections(std::size_t most, std::size_t longest_held, std::array<Nanoseconds, 4> limits);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  [[nodiscard]] KeptConnection& operator[](std::uint32_t index) { return table_[index]; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] bool is_full() const { return count_ == table_.size(); }
  // All that were ever in use lie below.
  [[nodiscard]] std::uint32_t end() const { return first_unused_; }

  // The caller sees that there is room. The connection waits.
  std::uint32_t add(int fd, const Address& address);
  void remove(std::uint32_t index);
  // Of the present connections.
  [[nodiscard]] std::size_t count_of(const Address& address) const;

  [[nodiscard]] const Address& address(std::uint32_t index) const { return addresses_[index]; }

  // ---- what is held of a connection ----
  [[nodiscard]] std::span<const char> held(std::uint32_t index) const;
  // Replaces it. False if there are more bytes than may be held.
  [[nodiscard]] bool hold(std::uint32_t index, std::span<const char> bytes);

  // ---- the queue ----
  void make_ready(std::uint32_t index);
  void make_ready_again(std::uint32_t index);  // before all others
  [[nodiscard]] std::size_t ready() const { return queued_; }
  // The caller sees that there is one.
  std::uint32_t first_ready() const { return queue_[queue_at_]; }
  std::uint32_t take_ready();

  // ---- time limits ----
  // The time of that limit begins; one that ran ends.
  void begin_limit(std::uint32_t index, Limit limit, Nanoseconds now);
  void end_limit(std::uint32_t index);
  // The time of a connection that another keeper had.
  void resume_limit(std::uint32_t index, Limit limit, Nanoseconds deadline);
  // In the order of the deadlines of each kind.
  template <typename Visit>
  void for_each_with_limit(Visit visit) const {
    for (const List& list : lists_)
      for (std::uint32_t index = list.first; index != kNone; index = table_[index].after)
        visit(index);
  }
  // One whose time has passed; its limit has ended.
  std::optional<std::uint32_t> take_late(Nanoseconds now);
  [[nodiscard]] Nanoseconds next_deadline() const;

 private:
  struct List {
    std::uint32_t first = kNone;
    std::uint32_t last = kNone;
  };
  List& list_of(Limit limit) { return lists_.at(static_cast<std::size_t>(limit)); }
  void drop_held(KeptConnection& connection);

  std::vector<KeptConnection> table_;
  std::vector<Address> addresses_;
  std::vector<std::uint32_t> free_;
  std::uint32_t first_unused_ = 0;
  std::size_t count_ = 0;

  // Blocks of one size. Those that are free are used again, the last one first.
  const std::size_t longest_held_;
  std::span<char> blocks_;
  std::vector<std::uint32_t> free_blocks_;
  std::uint32_t first_unused_block_ = 0;

  std::vector<std::uint32_t> queue_;  // a ring
  std::size_t queue_at_ = 0;
  std::size_t queued_ = 0;

  const std::array<Nanoseconds, 4> limits_;
  std::array<List, 4> lists_{};
};

}  // namespace kilofork
