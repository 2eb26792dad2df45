#include "supervisor/pool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/tokens.hpp"
#include "process/lockdown.hpp"
#include "process/signals.hpp"

namespace kilofork {

namespace {

using Phase = Shutdown::Phase;

// Set by signal handlers, read by the loop.
volatile sig_atomic_t g_stop_orders = 0;  // how many
volatile sig_atomic_t g_quit_ordered = 0;
// 1 at first: a child may have ended before this executable replaced the last one.
volatile sig_atomic_t g_child_ended = 1;

void on_stop(int /*signal*/) {
  g_stop_orders = g_stop_orders + 1;
}
void on_quit(int /*signal*/) {
  g_quit_ordered = 1;
}
void on_child(int /*signal*/) {
  g_child_ended = 1;
}

// Signals are blocked except in ppoll(2), so that none comes between the test of a flag and the
// wait.
void set_up_signals() {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  handle_signal(SIGCHLD, on_child);
  handle_signal(SIGTERM, on_stop);
  handle_signal(SIGINT, on_stop);
  handle_signal(SIGQUIT, on_quit);
  for (const int ignored : {SIGHUP, SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2})
    handle_signal(ignored, SIG_IGN);
}

std::span<std::byte> map_private(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of the supervisor's memory");
  return {static_cast<std::byte*>(memory), bytes};
}

Fd wakeup_of(const std::optional<ExecState>& predecessor) {
  return Fd(predecessor ? predecessor->wakeup : ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

LogBroadcast broadcast_of(const std::optional<ExecState>& predecessor) {
  if (!predecessor) return make_log_broadcast();
  return {.publish = Fd(predecessor->publish_log), .receive = Fd(predecessor->receive_log)};
}

}  // namespace

Pool::Pool(PoolSettings settings, std::vector<std::string> setting_lines, Control control,
           const InheritedDescriptors& inherited, Scoreboard scoreboard, std::string segment_name,
           std::optional<ExecState> predecessor)
    : settings_(std::move(settings)),
      setting_lines_(std::move(setting_lines)),
      segment_name_(std::move(segment_name)),
      scoreboard_(std::move(scoreboard)),
      control_(std::move(control)),
      wakeup_(wakeup_of(predecessor)),
      broadcast_(broadcast_of(predecessor)),
      front_(static_cast<int>(::syscall(SYS_pidfd_open, ::getppid(), 0))),
      descriptors_{.inherited = inherited,
                   .control = control_.fd(),
                   .wakeup = wakeup_.get(),
                   .front = front_.get(),
                   .publish_log = broadcast_.publish.get(),
                   .receive_log = broadcast_.receive.get()},
      private_memory_(
          map_private(Roster::bytes(scoreboard_.slots().size()) + SpawnRecord::kBufferBytes)),
      roster_(scoreboard_, private_memory_),
      record_(inherited.log, inherited.spawn_log,
              {reinterpret_cast<char*>(private_memory_.data()) +
                   Roster::bytes(scoreboard_.slots().size()),
               SpawnRecord::kBufferBytes},
              scoreboard_.header().pending, scoreboard_.header().utc_offset),
      keeper_({.scoreboard = scoreboard_,
               .service = settings_.service,
               .listener = inherited.listener,
               .wakeup = wakeup_.get(),
               .kept = descriptors_.of_keeper()},
              predecessor),
      parts_{.settings = settings_,
             .scoreboard = scoreboard_,
             .control = control_,
             .roster = roster_,
             .record = record_,
             .keeper = keeper_},
      log_({.scoreboard = scoreboard_,
            .control = control_,
            .record = record_,
            .broadcast = broadcast_,
            .log = inherited.log,
            .epoch = settings_.log_epoch,
            .wakeup = wakeup_.get(),
            .synced = settings_.service.synced,
            .spooled = settings_.spooled,
            .kept_by_syncer = descriptors_.of_syncer()},
           predecessor),
      context_{.service = settings_.service,
               .scoreboard = scoreboard_,
               .segment_path = keep_read_only("/dev/shm" + segment_name_),
               .name = keep_read_only("kilofork-child"),
               .supervisor = ::getpid(),
               .listener = settings_.service.per_request ? -1 : inherited.listener,
               .log = inherited.log,
               .log_epoch = log_.epoch(),
               .lifeline = inherited.lifeline,
               .front = front_.get(),
               .log_broadcast = broadcast_.receive.get(),
               .wakeup = wakeup_.get(),
               .memory = reinterpret_cast<char*>(
                   map_private(child_memory_bytes(settings_.service)).data())},
      forker_(context_, descriptors_.of_children(!settings_.service.per_request), keeper_),
      growth_(parts_, forker_, inherited.listener),
      replacement_(parts_),
      shutdown_(parts_, inherited.listener),
      started_(monotonic_now()) {
  ::madvise(private_memory_.data(), private_memory_.size(), MADV_DONTFORK);
  set_up_signals();
  if (predecessor) {
    for (const auto& child : predecessor->children) roster_.adopt(child.slot, child.member);
    record_.take_over(std::move(predecessor->pending_ends));
    announced_ = predecessor->announced;
    replacement_.resume();
    keeper_.renew();
  } else {
    for (std::size_t i = 0; i < settings_.bounds.start; i++) roster_.add_pending(i, Cause::start);
    scoreboard_.header().child_epoch++;
    growth_.set_limit(GrowthLimit::none);
  }
  scoreboard_.header().supervisor.store(::getpid(), std::memory_order_release);
}

Pool::~Pool() {
  ::munmap(private_memory_.data(), private_memory_.size());
}

// ---- the loop -----------------------------------------------------------------------------------

std::uint64_t Pool::run() {
  try {
    loop();
  } catch (const LockdownRefused& refused) {
    control_.send("lockdown-refused " + std::to_string(refused.error));
    throw;
  }
  return shutdown_.aborted();
}

void Pool::loop() {
  log_.maintain(roster_, started_);
  keeper_.maintain(false, started_);
  growth_.top_up(log_.epoch());
  while (!shutdown_.has_begun() || roster_.alive() > 0 || keeper_.is_running()) {
    wait();
    take_orders();
    begin_replacement();
    reap();
    shutdown_.escalate();
    if (!shutdown_.has_begun()) {
      growth_.sample();
      growth_.top_up(log_.epoch());
      replacement_.retire_some();
    }
    log_.maintain(roster_, monotonic_now());
    keeper_.maintain(shutdown_.has_begun(), monotonic_now());
    record_.write_pending();
    shutdown_.drain();
  }
  for (shutdown_.close_backlog(); shutdown_.has_readers(); shutdown_.drain()) {
    wait();
    take_orders();
  }
  log_.end(settings_.grace);
  close_books();
}

void Pool::wait() {
  std::vector<pollfd> polled{
      {.fd = control_.at_end() ? -1 : control_.fd(), .events = POLLIN, .revents = 0},
      {.fd = wakeup_.get(), .events = POLLIN, .revents = 0}};
  shutdown_.add_to(polled);
  const bool awaits_client =
      !shutdown_.has_begun() && growth_.awaits_client() && !keeper_.is_used();
  if (awaits_client)
    polled.push_back({.fd = descriptors_.inherited.listener, .events = POLLIN, .revents = 0});
  const Nanoseconds deadline = next_deadline();
  const timespec timeout = to_timespec(std::max<Nanoseconds>(deadline - monotonic_now(), 0));
  sigset_t none;
  sigemptyset(&none);
  ::ppoll(polled.data(), polled.size(), deadline != kNever ? &timeout : nullptr, &none);
  if (awaits_client && polled.back().revents != 0) growth_.sample_soon();
}

Nanoseconds Pool::next_deadline() const {
  constexpr Nanoseconds kPendingRecordsTriedEvery = 100 * kMillisecond;
  if (g_child_ended != 0 && (roster_.alive() > 0 || keeper_.is_running())) return monotonic_now();
  if (shutdown_.has_begun()) return std::min(shutdown_.next_deadline(), log_.next_deadline());
  const Nanoseconds records =
      record_.has_pending() ? monotonic_now() + kPendingRecordsTriedEvery : kNever;
  return std::min({growth_.next_deadline(), replacement_.next_deadline(), log_.next_deadline(),
                   keeper_.next_deadline(), records});
}

// ---- orders -------------------------------------------------------------------------------------

// Orders come as signals (SIGTERM, SIGINT, SIGQUIT) and from the front, whose end is an order to
// stop, too. A service manager may signal every process at once, and the front then sends its order
// as well; so only a second signal is a second order.
void Pool::take_orders() {
  while (auto line = control_.read(false)) carry_out(std::move(*line));
  if (g_quit_ordered != 0) {
    g_quit_ordered = 0;
    shutdown_.advance(Phase::quitting);
  }
  if (g_stop_orders != 0) shutdown_.advance(g_stop_orders == 1 ? Phase::stopping : Phase::quitting);
  if (control_.at_end()) shutdown_.advance(Phase::stopping);
  std::uint64_t wakeups = 0;
  if (::read(wakeup_.get(), &wakeups, sizeof wakeups) <= 0) return;
  announce_when_up();
  report_accept_error();
  growth_.unpark();
}

void Pool::carry_out(Control::Line line) {
  std::string_view rest = line.text;
  const std::string_view order = take_token(rest);
  std::uint32_t epoch = 0;
  if (order == "stop") shutdown_.advance(Phase::stopping);
  if (order == "quit") shutdown_.advance(Phase::quitting);
  if (order == "log" && line.passed && parse_number(rest, epoch)) {
    log_.reopen(std::move(line.passed), epoch, roster_);
    forker_.follow_log();
  }
  if (order == "spawn-log" && line.passed)
    ::dup3(line.passed.get(), descriptors_.inherited.spawn_log, O_CLOEXEC);
  if (order == "replace") replacement_.order(std::string(rest));
}

// Not in the middle of a line from the front: the next executable would not get its beginning.
void Pool::begin_replacement() {
  if (!replacement_.is_ordered() || shutdown_.has_begun() || !control_.is_between_lines()) return;
  const std::string executable = replacement_.begin();
  try {
    if (!executable.empty()) execute(executable);
  } catch (const SystemError& error) {
    control_.send("exec-failed " + std::to_string(error.code));
  }
  keeper_.renew();
}

// The forker ends first: the next executable starts its own.
void Pool::execute(const std::string& path) {
  ExecState state{.settings = setting_lines_,
                  .wakeup = wakeup_.get(),
                  .publish_log = broadcast_.publish.get(),
                  .receive_log = broadcast_.receive.get(),
                  .announced = announced_,
                  .children = {},
                  .pending_ends = record_.pending_ends()};
  log_.save_to(state);
  const auto members = roster_.members();
  for (std::size_t i = 0; i < members.size(); i++)
    if (members[i].pid != 0 || members[i].pending)
      state.children.push_back({.slot = i, .member = members[i]});
  keeper_.save_to(state);
  forker_.end();
  if (!record_.close_torn_head()) scoreboard_.header().pending.torn_heads++;
  std::vector<int> kept = descriptors_.across_exec();
  if (state.inbox >= 0) kept.push_back(state.inbox);
  if (state.keeper_control >= 0) kept.push_back(state.keeper_control);
  for (const auto& child : state.children)
    if (child.keeper_end >= 0) kept.push_back(child.keeper_end);
  execute_successor(path, segment_name_, state, kept);
}

// ---- children -----------------------------------------------------------------------------------

// waitpid(-1) walks past all children up to the first that has ended, so it is called only after
// SIGCHLD, and a few times. If more have ended, waitpid() is called for each child by its pid,
// which the kernel finds at once since Linux 5.13.
void Pool::reap() {
  constexpr int kFew = 16;
  if (std::exchange(g_child_ended, 0) == 0) return;
  int status = 0;
  for (int found = 0; found < kFew; found++) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (const auto index = roster_.find(pid)) {
      handle_exit(*index, status);
    } else {
      log_.on_exit(pid);
      forker_.on_exit(pid);
      keeper_.on_exit(pid);
    }
  }
  const auto members = roster_.members();
  for (std::size_t i = 0; i < members.size(); i++)
    if (members[i].pid != 0 && ::waitpid(members[i].pid, &status, WNOHANG) > 0)
      handle_exit(i, status);
  g_child_ended = 1;  // syncer and forker are waited for next time
}

// The record is written before the slot is vacated: if the supervisor is killed in between, the
// front records the end once more, which is harmless.
void Pool::handle_exit(std::size_t index, int status) {
  const State last = scoreboard_.slots()[index].occupancy().state;
  const pid_t pid = roster_.members()[index].pid;
  const bool stopping = shutdown_.has_begun();
  const Cause cause = roster_.cause_of_end(index, status, stopping);
  if (stopping && is_death(cause) && last >= State::working && last <= State::replying)
    shutdown_.count_aborted();
  record_.ended({.pid = pid, .slot = index, .cause = cause}, status, roster_.alive() - 1,
                parts_.census);
  roster_.remove(index, status, stopping);
  keeper_.disconnect(index);
  if (cause == Cause::sick || (is_death(cause) && last <= State::starting))
    growth_.back_off(GrowthLimit::births);
  replacement_.retire_soon();
  growth_.unpark();
}

// Tells the front, once, when all first children wait for clients.
void Pool::announce_when_up() {
  if (announced_ || roster_.pending() > 0) return;
  const auto slots = scoreboard_.slots();
  if (std::any_of(slots.begin(), slots.end(),
                  [](const Slot& slot) { return slot.occupancy().state == State::starting; }))
    return;
  announced_ = true;
  scoreboard_.header().guarded.store(0);
  control_.send("up " + std::to_string(roster_.alive()) + " " +
                std::to_string(monotonic_now() - started_));
}

// The first error of children that cannot accept, and 0 when one of them can again.
void Pool::report_accept_error() {
  const std::uint32_t error = scoreboard_.header().accept_error.load(std::memory_order_relaxed);
  if ((error == 0) == (reported_accept_error_ == 0)) return;
  if (control_.send("accept-error " + std::to_string(error))) reported_accept_error_ = error;
}

// The front writes the last records. If it is gone, the supervisor does and removes the segment.
void Pool::close_books() {
  record_.write_pending();  // a full disk may have room again
  while (control_.read(false)) continue;
  control_.send("stopped " + std::to_string(shutdown_.aborted()));
  if (!control_.at_end()) {
    if (!record_.close_torn_head()) scoreboard_.header().pending.torn_heads++;
    return;
  }
  record_.write("total requests " + std::to_string(scoreboard_.total()));
  if (record_.is_complete()) record_.write("Server stop");  // means that no record is missing
  log_.copy_rest();
  Segment::remove(segment_name_);
}

}  // namespace kilofork
