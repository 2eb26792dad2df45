// What a child does with the log: its two records of a request, the turn to a reopened log, and,
// where acknowledgements wait for the disk, the sync of the second record. Runs in a child only.
//
// A request belongs to the log that it was received in. When the sync of that one fails, nothing
// of it is acknowledged any more, be its second record in a newer log or not.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <span>

#include "base/protocol.hpp"
#include "child/child.hpp"
#include "log/append_log.hpp"

namespace kilofork {

class ChildLog {
 public:
  ChildLog(const ChildContext& context, Slot& slot, pid_t pid, std::span<char> buffer);

  // Turns to the newest log, as far as it can be had. Safe in a signal handler: system calls only,
  // and a record that is being built is not touched.
  void follow();

  // Each of these is false when the record is not in a log that may be acknowledged from.
  [[nodiscard]] bool record_received(const Request& request);
  [[nodiscard]] bool record_completed(const Request& request, std::uint64_t count);
  // Waits until the completed record is on disk. False: it never will be, for all that is known.
  [[nodiscard]] bool sync();
  // That record is not to count: says so in the log that comes instead, when there is one. False:
  // it could not be said before `stopping`.
  bool retract(const Request& request, std::uint64_t count, const volatile sig_atomic_t& stopping);

  void record_unknown_user(std::string_view user);
  void record_refusal(Refusal refusal);
  void record_work_timeout(std::string_view message, Nanoseconds took);

  // Who leaves must not leave a torn head. Safe in a signal handler.
  void leave();

 private:
  bool may_write();
  bool note(bool written);
  void follow(const std::atomic<std::uint32_t>& newest);

  const ChildContext& context_;
  Header& header_;
  Slot& slot_;
  const pid_t pid_;
  AppendLog log_;
  std::uint32_t epoch_;
  std::uint32_t received_in_ = 0;  // the epoch that the present request belongs to
};

}  // namespace kilofork
