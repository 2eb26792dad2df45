// One request, in the order that the ledger depends on: received record, work, completed record,
// sync, count, reply. Runs in a child. Uses no socket: it takes a parsed request and returns the
// text of the reply, or the reason why there is none.
//
// Because of this order, at every moment, whichever process was killed:
//   replies received <= total in shared memory <= completed records
#pragma once

#include <signal.h>

#include <cstdint>
#include <string_view>

#include "child/child_log.hpp"
#include "child/own_slot.hpp"
#include "child/service.hpp"
#include "child/texts.hpp"
#include "child/work.hpp"

namespace kilofork {

class RequestLedger {
 public:
  enum class Result : std::uint8_t {
    counted,     // send the reply
    unrecorded,  // a record could not be written: refuse as unavailable
    unsynced,    // the completed record may not be on disk: refuse likewise, then retract()
  };
  struct Outcome {
    Result result;
    std::string_view reply;  // if counted; valid until the next record or text
  };

  RequestLedger(const OwnSlot& own, const Service& service, ChildLog& log, TimedWork& work,
                Texts& texts);

  Outcome perform(const Request& request);
  // After Result::unsynced: records that the request does not count, see ChildLog::retract(). False
  // if `stopping` was set first.
  bool retract(const Request& request, const volatile sig_atomic_t& stopping);

 private:
  [[nodiscard]] std::uint64_t next_total() const;

  const OwnSlot& own_;
  const Service& service_;
  ChildLog& log_;
  TimedWork& work_;
  Texts& texts_;
  const std::uint64_t total_at_birth_;
};

}  // namespace kilofork
