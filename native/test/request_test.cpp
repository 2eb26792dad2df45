// The order of the ledger, without a socket and in the test's own process, which stands for the
// child.
#include "child/request.hpp"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

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

std::string received() {
  return "server " + std::to_string(::getpid()) + " recvd message \"lalala\" from user arijort";
}
std::string completed() {
  return "completed req \"lalala\"" + on_this_pid() + " total reqs 1";
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
  CHECK_EQ(records[0], received());
  CHECK_EQ(records[1], completed());
}

// A log with room for `bytes` bytes: a pipe. A longer write fails, and a shorter one after it
// succeeds.
Fd give_log_room_for(std::size_t bytes, const LedgerHarness& harness) {
  std::array<int, 2> ends{};
  CHECK_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  Fd reader(ends[0]);
  const Fd writer(ends[1]);
  const int size = ::fcntl(writer.get(), F_SETPIPE_SZ, PIPE_BUF);
  CHECK(size > 0);
  const std::string filler(static_cast<std::size_t>(size) - bytes, '.');
  CHECK_EQ(::write(writer.get(), filler.data(), filler.size()),
           static_cast<ssize_t>(filler.size()));
  CHECK_EQ(::dup2(writer.get(), harness.log.get()), harness.log.get());
  return reader;
}

std::size_t bytes_of_record(const std::string& text) {
  return RecordTime::kLength + std::string_view(" -- ").size() + text.size() + 1;
}

TEST("a request whose received record cannot be written is not served, even if the next can be") {
  LedgerHarness harness;
  CHECK(completed().size() < received().size());
  const Fd reader = give_log_room_for(bytes_of_record(received()) - 1, harness);
  RequestLedger ledger(harness.own, harness.service, harness.child_log, harness.work,
                       harness.texts);
  harness.own.enter(State::reading);
  const auto outcome = ledger.perform(kRequest);
  CHECK(outcome.result == Result::unrecorded);
  CHECK_EQ(outcome.reply, "");
  CHECK(harness.slot().occupancy().state == State::reading);  // no work was done
  CHECK_EQ(harness.slot().total.load(), 41);
}

TEST("a request whose completed record cannot be written is not counted, and has no reply") {
  LedgerHarness harness;
  const Fd reader = give_log_room_for(bytes_of_record(received()), harness);
  RequestLedger ledger(harness.own, harness.service, harness.child_log, harness.work,
                       harness.texts);
  const auto outcome = ledger.perform(kRequest);
  CHECK(outcome.result == Result::unrecorded);
  CHECK_EQ(outcome.reply, "");
  CHECK(harness.slot().occupancy().state == State::replying);  // the received record was written
  CHECK_EQ(harness.slot().total.load(), 41);
}

}  // namespace
}  // namespace kilofork
