// The supervisor's side of the keeper: starts it, and another when it has ended; makes the pair of
// sockets between it and each child. The supervisor keeps a copy of the keeper's ends, so that
// children outlive a keeper, and the next one gets them by fork(2). Runs in the supervisor. Does
// nothing where each connection has a process. unix(7).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "child/service.hpp"
#include "keeper/keeper.hpp"
#include "shm/scoreboard.hpp"
#include "supervisor/exec_state.hpp"

namespace kilofork {

class KeeperLink {
 public:
  struct Parts {
    Scoreboard& scoreboard;
    const Service& service;
    int listener;
    int wakeup;
    std::vector<int> kept;  // descriptors
  };
  KeeperLink(Parts parts, const std::optional<ExecState>& predecessor);

  [[nodiscard]] bool is_used() const { return parts_.service.per_request; }
  [[nodiscard]] bool is_running() const { return pid_ > 0; }
  // Connections that wait for a child, and are in no batch.
  [[nodiscard]] std::size_t ready() const;

  // Returns the end of the child that is to be forked for this slot. Throws SystemError.
  Fd connect(std::size_t slot);
  // That child has ended, or was not forked.
  void disconnect(std::size_t slot);

  // In the loop: starts a keeper if there is none, unless the server stops; tells it of new
  // children.
  void maintain(bool stopping, Nanoseconds now);
  [[nodiscard]] Nanoseconds next_deadline() const;
  // Starts another keeper, to which this one hands over all that it has.
  void renew();
  // A process that is no child has ended; it may be the keeper.
  void on_exit(pid_t pid);
  // For the next executable of the supervisor.
  void save_to(ExecState& state) const;
  void signal(int signal) const;

 private:
  void start(int predecessor);
  void announce();

  Parts parts_;
  KeeperService service_;
  KeeperState& published_;
  std::vector<Fd> ends_;                    // by slot
  std::vector<std::uint32_t> unannounced_;  // slots
  pid_t pid_ = 0;
  Fd control_;
  pid_t replaced_ = 0;                // hands over; 0: none
  Nanoseconds replaced_by_ = kNever;  // then it is killed
  Nanoseconds may_start_at_ = 0;
  Nanoseconds announced_again_at_ = kNever;
};

}  // namespace kilofork
