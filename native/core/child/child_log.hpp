// The log as a child uses it: the two records of a request, its refusals, the change to a reopened
// log, and the wait until a record is on disk. Runs in a child.
//
// A request belongs to the log that its received record is in. If a sync of that log fails, the
// request is not acknowledged, even if its completed record is in a newer log.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/protocol.hpp"
#include "child/child.hpp"
#include "log/append_log.hpp"

namespace kilofork {

class ChildLog {
 public:
  ChildLog(const ChildContext& context, Slot& slot, pid_t pid, std::span<char> buffer);

  // Changes to the newest log, if it is published at this moment. Safe in a signal handler: makes
  // system calls only, and does not touch a record that is being built.
  void adopt_newest();

  // False if the record could not be written, or the request's log is dead.
  [[nodiscard]] bool record_received(const Request& request);
  [[nodiscard]] bool record_completed(const Request& request, std::uint64_t count);
  // Waits until the completed record is on disk. False if the sync failed: then the record may or
  // may not be there.
  [[nodiscard]] bool sync();
  // Retracts: records in the log that replaces the dead one that the completed record does not
  // count. Waits for that log. False if `stopping` was set first.
  bool retract(const Request& request, std::uint64_t count, const volatile sig_atomic_t& stopping);

  void record_unknown_user(std::string_view user);
  void record_refusal(Refusal refusal);
  void record_work_timeout(std::string_view message, Nanoseconds took);

  // Called before the child exits: closes a torn head with the marker, or leaves that to the
  // supervisor if the disk is still full. Safe in a signal handler.
  void close_torn_head();

 private:
  bool adopt_live_log();
  void adopt(const std::atomic<std::uint32_t>& newest);
  bool report(bool written);

  const ChildContext& context_;
  Header& header_;
  Slot& slot_;
  const pid_t pid_;
  AppendLog log_;
  std::uint32_t epoch_;
  std::uint32_t received_in_ = 0;  // epoch of the log that the present request belongs to
};

}  // namespace kilofork
