// The pool of children, and the loop of the supervisor: wait, take orders, reap, sample, fork. Runs
// in the supervisor, a process with one thread.
//
// Signal handlers only set flags, and there is one place to wait. The steps of the loop are in
// files of their own: growth, replacement, shutdown, log_manager. waitpid(2), ppoll(2), eventfd(2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "child/child.hpp"
#include "log/log_broadcast.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/control.hpp"
#include "supervisor/exec_state.hpp"
#include "supervisor/forker.hpp"
#include "supervisor/growth.hpp"
#include "supervisor/keeper_link.hpp"
#include "supervisor/log_manager.hpp"
#include "supervisor/pool_descriptors.hpp"
#include "supervisor/pool_parts.hpp"
#include "supervisor/replacement.hpp"
#include "supervisor/roster.hpp"
#include "supervisor/settings.hpp"
#include "supervisor/shutdown.hpp"
#include "supervisor/spawn_record.hpp"

namespace kilofork {

class Pool {
 public:
  // `setting_lines`: the settings as the front sent them. `predecessor`: the state of the
  // executable that this one replaces, if any.
  Pool(PoolSettings settings, std::vector<std::string> setting_lines, Control control,
       const InheritedDescriptors& inherited, Scoreboard scoreboard, std::string segment_name,
       std::optional<ExecState> predecessor);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // Returns when all children have ended. The result: how many requests the stop aborted. Throws
  // LockdownRefused, after it has told the front.
  std::uint64_t run();

 private:
  void loop();
  void wait();
  [[nodiscard]] Nanoseconds next_deadline() const;

  void take_orders();
  void carry_out(Control::Line line);
  void begin_replacement();
  [[noreturn]] void execute(const std::string& path);

  void reap();
  void handle_exit(std::size_t index, int status);
  void announce_when_up();
  void report_accept_error();
  void close_books();

  const PoolSettings settings_;
  const std::vector<std::string> setting_lines_;
  const std::string segment_name_;
  Scoreboard scoreboard_;
  Control control_;
  Fd wakeup_;
  LogBroadcast broadcast_;
  Fd front_;  // pidfd_open(2)
  const PoolDescriptors descriptors_;

  // Not in the memory of forker and children (MADV_DONTFORK): a page that they share would be
  // copied each time the supervisor writes to it.
  std::span<std::byte> private_memory_;
  Roster roster_;
  SpawnRecord record_;
  KeeperLink keeper_;
  PoolParts parts_;
  LogManager log_;
  ChildContext context_;
  Forker forker_;
  Growth growth_;
  Replacement replacement_;
  Shutdown shutdown_;

  const Nanoseconds started_;
  bool announced_ = false;
  std::uint32_t reported_accept_error_ = 0;
};

}  // namespace kilofork
