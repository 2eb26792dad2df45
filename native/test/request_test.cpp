// The order of the ledger, without a socket and in the test's own process, which stands for the
// child.
#include "child/request.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "check.hpp"
#include "child_harness.hpp"

namespace kilofork {
namespace {

using check::ChildHarness;
using check::file;
using Result = RequestLedger::Result;

constexpr Request kRequest{.user = "arijort", .message = "lalala"};

// All that a ledger needs of a child.
struct LedgerHarness : ChildHarness {
  explicit LedgerHarness(Service with = check::make_service()) : ChildHarness(std::move(with)) {
    slot().total = 41;  // of children that had the slot before
  }

  ChildContext context = make_context();
  std::vector<char> buffer = std::vector<char>(Texts::buffer_bytes(service));
  const OwnSlot own{.scoreboard = board, .slot = slot(), .pid = ::getpid()};
  ChildLog child_log{context, slot(), own.pid, buffer};
  Texts texts{service, own.pid, buffer};
  TimedWork work{service, child_log};
};

std::string on_this_pid() {
  return " on " + std::to_string(::getpid());
}

TEST("a request is recorded twice, counted, and answered with the text of the reply") {
  LedgerHarness harness;
  RequestLedger ledger(harness.own, harness.service, harness.child_log, harness.work,
                       harness.texts);
  const auto outcome = ledger.perform(kRequest);
  CHECK(outcome.result == Result::counted);
  CHECK_EQ(outcome.reply, "server " + std::to_string(::getpid()) +
                              " recvd message \"lalala\" from user arijort\n");
  CHECK_EQ(harness.slot().total.load(), 42);
  CHECK(harness.slot().occupancy().state == State::replying);
  const auto records = ChildHarness::records();
  CHECK_EQ(records.size(), 2);
  CHECK_EQ(records[1], "completed req \"lalala\"" + on_this_pid() + " total reqs 1");
}

TEST("a request whose record cannot be written is not counted, and has no reply") {
  LedgerHarness harness;
  const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  CHECK(full.get() >= 0);
  CHECK_EQ(::dup2(full.get(), harness.log.get()), harness.log.get());
  RequestLedger ledger(harness.own, harness.service, harness.child_log, harness.work,
                       harness.texts);
  const auto outcome = ledger.perform(kRequest);
  CHECK(outcome.result == Result::unrecorded);
  CHECK_EQ(outcome.reply, "");
  CHECK_EQ(harness.slot().total.load(), 41);
}

}  // namespace
}  // namespace kilofork
