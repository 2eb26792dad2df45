#include "child/child.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>

#include "child/accept_intake.hpp"
#include "child/child_log.hpp"
#include "child/connection.hpp"
#include "child/keeper_intake.hpp"
#include "child/own_slot.hpp"
#include "child/request.hpp"
#include "child/texts.hpp"
#include "child/work.hpp"
#include "process/signals.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

namespace {

class Child {
 public:
  Child(const ChildContext& context, ChildSignals& signals, Slot& slot, Intake& intake);
  [[noreturn]] void run();

 private:
  void serve(Connection& client);
  bool greet(Connection& client);
  bool answer(Connection& client, bool ended);
  bool perform(Connection& client, const Request& request);
  void refuse(Connection& client, Refusal refusal);
  bool send_refusal(Connection& client, Refusal refusal);

  void wake_supervisor() const { wake_up(context_.wakeup); }
  void wake_supervisor_if_parked() const;
  [[noreturn]] void leave(ChildExit how);

  const ChildContext& context_;
  const Service& service_;
  ChildSignals& signals_;
  const OwnSlot own_;
  const std::uint64_t last_total_;  // the total of the slot at which the child is recycled
  const std::span<char> input_;
  const std::span<char> output_;
  ChildLog log_;
  Texts texts_;
  TimedWork work_;
  RequestLedger ledger_;
  Intake& intake_;
};

// ---- the loop -----------------------------------------------------------------------------------

void Child::run() {
  for (bool is_first = true; !signals_.is_told_to_leave(); is_first = false) {
    if (own_.slot.total.load(std::memory_order_relaxed) >= last_total_) leave(kExitRecycled);
    if (intake_.will_wait()) {
      own_.enter(State::idle);
      if (is_first) wake_supervisor();
      wake_supervisor_if_parked();
    }
    switch (intake_.take()) {
      case Intake::Took::connection: {
        Connection client(intake_.fd(), service_, input_, signals_.stopping, intake_.held());
        serve(client);
        intake_.give_back(client);
        break;
      }
      case Intake::Took::nothing:
        break;
      case Intake::Took::broken:
        leave(kExitSick);
    }
  }
  own_.enter(State::stopping);
  leave(kExitOrdered);
}

// One connection, from its greeting to its last reply or refusal; or a turn of it.
void Child::serve(Connection& client) {
  own_.slot.connections.fetch_add(1, std::memory_order_relaxed);
  own_.enter(State::reading);
  wake_supervisor_if_parked();
  if (!intake_.is_greeted() && !greet(client)) return;
  for (;;) {
    switch (client.next_line()) {
      case Connection::Got::line:
        if (!answer(client, true)) return;
        break;
      case Connection::Got::last_line:
        answer(client, false);
        return;
      case Connection::Got::too_long:
        return refuse(client, Refusal::too_long);
      case Connection::Got::timeout:
        return refuse(client, Refusal::timeout);
      case Connection::Got::stopped:
        if (client.has_unread_input()) return refuse(client, Refusal::shutting_down);
        return client.linger(service_.linger_timeout);
      case Connection::Got::end:
      case Connection::Got::lost:
      case Connection::Got::turn_over:
        return;
    }
    own_.enter(State::reading);
  }
}

// True if the client may send requests.
bool Child::greet(Connection& client) {
  // A stop that came just before the connection was accepted has not ended its input.
  if (signals_.stopping != 0) {
    refuse(client, Refusal::shutting_down);
    return false;
  }
  if (!intake_.admits()) {
    refuse(client, Refusal::busy);
    return false;
  }
  return client.send(texts_.greeting());
}

// Checks a line and answers it. `ended`: by a newline. True if the connection may be kept.
bool Child::answer(Connection& client, bool ended) {
  const std::optional<Request> request = parse_request(client.line(), ended);
  if (!request) {
    refuse(client, Refusal::protocol);
    return false;
  }
  if (!own_.scoreboard.users().contains(request->user)) {
    log_.record_unknown_user(request->user);
    refuse(client, Refusal::unauthorized);
    return false;
  }
  signals_.in_request = 1;
  const bool kept = perform(client, *request);
  signals_.in_request = 0;
  return kept;
}

// Carries out a valid request and answers it. True if the connection may be kept.
bool Child::perform(Connection& client, const Request& request) {
  const RequestLedger::Outcome outcome = ledger_.perform(request);
  switch (outcome.result) {
    case RequestLedger::Result::counted:
      return client.send(outcome.reply);
    case RequestLedger::Result::unrecorded:
      refuse(client, Refusal::unavailable);
      return false;
    case RequestLedger::Result::unsynced:
      break;
  }
  // The client is refused first: the retraction may have to wait for a log.
  const bool was_sent = send_refusal(client, Refusal::unavailable);
  if (!ledger_.retract(request, signals_.stopping)) leave(kExitAborted);
  if (was_sent) client.linger(service_.linger_timeout);
  return false;
}

// Records the reason, sends it, and waits until the client can have read it.
void Child::refuse(Connection& client, Refusal refusal) {
  // An unknown user has a record of its own, and without a log there is no record.
  if (refusal != Refusal::unauthorized && refusal != Refusal::unavailable)
    log_.record_refusal(refusal);
  // An address with too many connections must not occupy a child. The client can still read the
  // line, unless its system drops what it has received when the connection is reset.
  if (send_refusal(client, refusal))
    client.linger(refusal == Refusal::busy ? 0 : service_.linger_timeout);
}

bool Child::send_refusal(Connection& client, Refusal refusal) {
  const auto index = static_cast<std::size_t>(refusal);
  own_.slot.refused.at(index).fetch_add(1, std::memory_order_relaxed);
  return client.send(service_.refusals.at(index));
}

// ---- the supervisor -----------------------------------------------------------------------------

// A parked supervisor is woken when a child turns from idle to busy or back. The supervisor sets
// the flag and then reads the states once more; the child writes its state and then reads the flag.
// With a full fence on both sides, at least one sees the other (Growth::park()). Only the
// supervisor clears the flag: if a child cleared it and was stopped before it wrote to the eventfd,
// the wakeup would be lost.
void Child::wake_supervisor_if_parked() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (own_.scoreboard.header().supervisor_parked.load(std::memory_order_relaxed) != 0)
    wake_supervisor();
}

void Child::leave(ChildExit how) {
  intake_.leave();
  log_.close_torn_head();
  ::_exit(how);
}

// ---- birth --------------------------------------------------------------------------------------

struct ChildMemory {
  explicit ChildMemory(const ChildContext& context)
      : input(context.memory, Connection::input_bytes(context.service)),
        output(input.data() + input.size(), Texts::buffer_bytes(context.service)),
        keeper(output.data() + output.size(),
               context.service.per_request ? KeeperIntake::memory_bytes(context.service) : 0) {}
  std::span<char> input;
  std::span<char> output;
  std::span<char> keeper;
};

// Has a random part, so that the children of a pool are not recycled all at the same time.
std::uint64_t last_total(const Service& service, std::uint64_t total_at_birth) {
  constexpr std::uint64_t kMixer = 0x9e3779b97f4a7c15;  // the golden ratio: spreads close numbers
  if (service.max_requests == 0) return UINT64_MAX;
  const auto random = static_cast<std::uint64_t>(monotonic_now() ^ ::getpid()) * kMixer >> 16;
  return total_at_birth + service.max_requests + random % (service.max_requests_jitter + 1);
}

Child::Child(const ChildContext& context, ChildSignals& signals, Slot& slot, Intake& intake)
    : context_(context),
      service_(context.service),
      signals_(signals),
      own_{.scoreboard = context.scoreboard, .slot = slot, .pid = ::getpid()},
      last_total_(last_total(service_, slot.total.load(std::memory_order_relaxed))),
      input_(ChildMemory(context).input),
      output_(ChildMemory(context).output),
      log_(context, slot, own_.pid, output_),
      texts_(service_, own_.pid, output_),
      work_(service_, log_),
      ledger_(own_, service_, log_, work_, texts_),
      intake_(intake) {
  signals.context = &context;
  signals.intake = &intake_;
  signals.log = &log_;
  signals.work = &work_;
  own_.enter(State::starting);
  log_.adopt_newest();  // the forker may have had an older one
}

// The child leaves when the supervisor dies (on_continue()), or here if that has happened already.
void leave_with_supervisor(pid_t supervisor) {
  continue_when_parent_dies();
  if (::getppid() != supervisor) ::_exit(kExitOrdered);
}

[[noreturn]] void serve_by(Intake&& intake, const ChildContext& context, Slot& slot) {
  Child child(context, signals_of_this_child(), slot, intake);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  child.run();
}

}  // namespace

std::size_t child_memory_bytes(const Service& service) {
  return Connection::input_bytes(service) + Texts::buffer_bytes(service) +
         (service.per_request ? KeeperIntake::memory_bytes(service) : 0);
}

void run_child(const ChildContext& context, Slot& slot, std::uint64_t reserved) {
  leave_with_supervisor(context.supervisor);
  if (!slot.claim(reserved, ::getpid())) ::_exit(kExitOrdered);
  ::prctl(PR_SET_NAME, context.name);
  const ChildSignals& signals = signals_of_this_child();
  const ChildMemory memory(context);
  if (context.service.per_request)
    serve_by(KeeperIntake(context, signals, slot, memory.input, memory.keeper), context, slot);
  serve_by(AcceptIntake(context, signals, slot), context, slot);
}

}  // namespace kilofork
