// The supervisor's hold on the log: hands a reopened one to the children, knows when the last of
// them has left the old one, and, where acknowledgements wait for the disk, keeps a syncer.
//
// A log whose sync failed is dead. The front opens another, and there the requests that had waited
// are taken back first; then the children turn to it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
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
    int log;              // the place of the newest one
    std::uint32_t epoch;  // its number, unless there is a predecessor
    int wakeup;
    bool synced;
    std::function<void()> prepare_syncer;  // in that process: closes what is not for it
  };
  LogManager(Parts parts, const std::optional<ExecState>& predecessor);

  // Where children find a reopened log, and what they are forked with.
  [[nodiscard]] int take() const { return broadcast_.take.get(); }
  [[nodiscard]] int give() const { return broadcast_.give.get(); }
  [[nodiscard]] std::uint32_t epoch() const { return epoch_; }

  // By order of the front.
  void reopen(Fd log, std::uint32_t epoch, const Roster& roster);
  // In the loop: what has gone wrong, who has left the old log, and a syncer where there is none.
  void maintain(const Roster& roster, Nanoseconds now);
  [[nodiscard]] Nanoseconds next_deadline() const;

  // What became of a process that is no child: of the syncer, or of a stranger.
  void on_exit(pid_t pid);
  // In a process that is forked beside the syncer, which must not have it.
  void close_inbox() { inbox_.reset(); }
  // When the last child is gone: what is in the log is on disk, if it can be.
  void end(Nanoseconds patience);

  void save_to(ExecState& state) const;
  // What must stay open across exec.
  [[nodiscard]] std::vector<int> descriptors() const;

 private:
  void wait_for_retractions(const Roster& roster);
  void settle(const Roster& roster, Nanoseconds now);
  void tell_errors();
  void start_syncer(Nanoseconds now);
  [[nodiscard]] bool has_left_within(Nanoseconds patience) const;

  Parts parts_;
  Header& header_;
  LogBroadcast broadcast_;
  std::uint32_t epoch_;
  Nanoseconds reopened_ = 0;  // 0: every child has turned to the log
  Nanoseconds next_settling_ = 0;
  std::uint32_t told_error_ = 0;
  bool told_dead_ = false;
  bool tells_again_ = false;

  pid_t syncer_ = 0;
  Fd inbox_;  // of the syncer: our end
  bool to_renew_ = false;
  bool leaves_ = false;  // it was told to
  Nanoseconds may_start_syncer_at_ = 0;
};

}  // namespace kilofork
