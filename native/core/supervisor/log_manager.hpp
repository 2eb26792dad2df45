// The log, as the supervisor manages it: gives a reopened log to the children, finds out when the
// last of them has left the old one, reports errors to the front, and keeps a syncer running where
// replies wait for the disk. Runs in the supervisor.
//
// A log whose sync failed is dead, and the front opens another one. In that log, the requests that
// waited for the failed sync are retracted first; then the children may take it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "log/log_broadcast.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/control.hpp"
#include "supervisor/exec_state.hpp"
#include "supervisor/roster.hpp"
#include "supervisor/spawn_record.hpp"

namespace kilofork {

class LogManager {
 public:
  struct Parts {
    Scoreboard& scoreboard;
    const Control& control;
    SpawnRecord& record;
    const LogBroadcast& broadcast;
    int log;              // the descriptor of the newest log; a reopened one takes its number
    std::uint32_t epoch;  // of `log`; with a predecessor, the header has it
    int wakeup;
    bool synced;
    bool spooled;                     // `log` is a spool, and a log writer has the syncer's place
    std::vector<int> kept_by_syncer;  // descriptors
  };
  LogManager(Parts parts, const std::optional<ExecState>& predecessor);

  [[nodiscard]] std::uint32_t epoch() const { return epoch_; }

  // The front has opened another log.
  void reopen(Fd log, std::uint32_t epoch, const Roster& roster);
  // In the loop: reports errors, settles a reopened log, starts or renews the syncer.
  void maintain(const Roster& roster, Nanoseconds now);
  [[nodiscard]] Nanoseconds next_deadline() const;

  // A process that is no child has ended; it may be the syncer.
  void on_exit(pid_t pid);
  // Called when the last child has ended: ends the syncer, by SIGKILL if it takes longer.
  void end(Nanoseconds patience);
  // After that, and without a front: copies what is left in the spool.
  void copy_rest();

  void save_to(ExecState& state) const;

 private:
  void order_again(const Roster& roster);
  void wait_for_retractions(const Roster& roster);
  void settle(const Roster& roster, Nanoseconds now);
  void report_errors();
  void start_syncer(Nanoseconds now);
  void start_log_writer();
  void start_disk_syncer();
  void take_syncer(pid_t pid);
  [[nodiscard]] bool syncer_ends_within(Nanoseconds patience) const;

  Parts parts_;
  Header& header_;
  std::uint32_t epoch_;
  Nanoseconds reopened_ = 0;  // 0: every child writes to the newest log
  Nanoseconds next_settling_ = 0;
  std::uint32_t reported_error_ = 0;
  bool reported_dead_ = false;
  bool report_again_ = false;

  pid_t syncer_ = 0;
  Fd inbox_;                    // the supervisor's end
  bool to_renew_ = false;       // the syncer runs the last executable
  bool told_to_leave_ = false;  // the syncer was sent SIGTERM
  Nanoseconds may_start_syncer_at_ = 0;
};

}  // namespace kilofork
