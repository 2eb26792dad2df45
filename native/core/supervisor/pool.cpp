#include "supervisor/pool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "base/tokens.hpp"
#include "net/listener.hpp"
#include "process/lockdown.hpp"
#include "process/memory.hpp"
#include "process/signals.hpp"

namespace kilofork {

namespace {

// Set by handlers, read by the loop.
volatile sig_atomic_t g_told_to_stop = 0;  // how often
volatile sig_atomic_t g_told_to_quit = 0;
volatile sig_atomic_t g_child_ended = 1;  // before this program took over, for all it knows

void on_stop(int /*signal*/) {
  g_told_to_stop = g_told_to_stop + 1;
}
void on_quit(int /*signal*/) {
  g_told_to_quit = 1;
}
void on_child(int /*signal*/) {
  g_child_ended = 1;
}

// Signals are blocked but for the time of ppoll(2): none is missed between two looks at a flag.
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

// How often a pool is looked at that cannot grow now: only to know how long it is full. A look may
// cost at most this part of the time until the next.
constexpr Nanoseconds kSparseSamples = 100 * kMillisecond;
constexpr Nanoseconds kCostlySample = 50;
constexpr int kUnchangedSamplesBeforePark = 20;

// When all children are replaced, a part of them may be on their way out or in at the same time.
// One that has not left long after it was told is stopped or stuck, and waited for no more.
constexpr std::size_t kParts = 16;
constexpr Nanoseconds kWaitedForWhenTold = kSecond;

// Of the coarse clock, see Scoreboard::age().
constexpr Nanoseconds kLongestTick = 10 * kMillisecond;

}  // namespace

Pool::Pool(PoolSettings settings, std::vector<std::string> setting_lines, Control control,
           const PoolDescriptors& descriptors, Scoreboard scoreboard, std::string segment_name,
           std::optional<ExecState> predecessor)
    : settings_(std::move(settings)),
      setting_lines_(std::move(setting_lines)),
      scoreboard_(std::move(scoreboard)),
      segment_name_(std::move(segment_name)),
      control_(std::move(control)),
      descriptors_(descriptors),
      wakeup_(predecessor ? predecessor->wakeup : ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      backlog_drain_(
          descriptors.listener,
          settings_.service.refusals.at(static_cast<std::size_t>(Refusal::shutting_down)),
          settings_.service.linger_timeout),
      private_memory_(
          map_private(Roster::bytes(scoreboard_.slots().size()) + SpawnRecord::kBufferBytes)),
      roster_(scoreboard_, private_memory_),
      record_(descriptors.log, descriptors.spawn_log,
              {reinterpret_cast<char*>(private_memory_.data()) +
                   Roster::bytes(scoreboard_.slots().size()),
               SpawnRecord::kBufferBytes},
              scoreboard_.header().pending),
      log_({.scoreboard = scoreboard_,
            .control = control_,
            .record = record_,
            .log = descriptors.log,
            .epoch = settings_.log_epoch,
            .wakeup = wakeup_.get(),
            .synced = settings_.service.synced,
            .prepare_syncer =
                [this] {
                  forker_.close_orders();
                  control_.close();
                  for (const int fd : {descriptors_.listener, descriptors_.spawn_log}) ::close(fd);
                }},
           predecessor),
      context_{.service = settings_.service,
               .scoreboard = scoreboard_,
               .segment_path = keep_read_only("/dev/shm" + segment_name_),
               .name = keep_read_only("kilofork-child"),
               .supervisor = ::getpid(),
               .listener = descriptors.listener,
               .log = descriptors.log,
               .log_epoch = log_.epoch(),
               .lifeline = descriptors.lifeline,
               .log_broadcast = log_.take(),
               .wakeup = wakeup_.get(),
               .memory = reinterpret_cast<char*>(
                   map_private(child_memory_bytes(settings_.service)).data())},
      forker_(context_,
              [this] {
                log_.close_inbox();
                control_.close();
                for (const int fd : {descriptors_.spawn_log, log_.give()}) ::close(fd);
              }),
      sizing_(settings_.limits),
      started_(monotonic_now()) {
  ::madvise(private_memory_.data(), private_memory_.size(), MADV_DONTFORK);
  set_up_signals();
  if (predecessor) {
    for (const auto& [slot, member] : predecessor->children) roster_.adopt(slot, member);
    record_.take_over(std::move(predecessor->pending_ends));
    announced_ = predecessor->announced;
    replacing_ = true;
  } else {
    for (std::size_t i = 0; i < settings_.limits.start; i++) roster_.add_pending(i, Cause::start);
    scoreboard_.header().child_epoch++;  // none of these children was there before
    set_growth_limit(GrowthLimit::none);
  }
  scoreboard_.header().supervisor.store(::getpid(), std::memory_order_release);
}

Pool::~Pool() {
  ::munmap(private_memory_.data(), private_memory_.size());
}

std::uint64_t Pool::run() {
  forker_.start();
  log_.maintain(roster_, started_);
  top_up();
  while (phase_ == Phase::running || roster_.alive() > 0) {
    wait();
    take_orders();
    begin_replacing();
    reap();
    escalate();
    sample();
    top_up();
    replace_some();
    log_.maintain(roster_, monotonic_now());
    record_.write_pending();
    backlog_drain_.run();
  }
  finish_drain();
  log_.end(settings_.grace);
  close_books();
  return aborted_;
}

// The last of them came just now, unless newcomers find a way in all the same.
void Pool::finish_drain() {
  const Nanoseconds deadline = monotonic_now() + 2 * settings_.service.linger_timeout;
  backlog_drain_.stop_accepting();
  for (backlog_drain_.run();
       backlog_drain_.lingers() && monotonic_now() < deadline && phase_ < Phase::quitting;
       backlog_drain_.run()) {
    wait();
    take_orders();
  }
}

// The one place where the supervisor waits.
void Pool::wait() {
  std::vector<pollfd> polled{
      {.fd = control_.at_end() ? -1 : control_.fd(), .events = POLLIN, .revents = 0},
      {.fd = wakeup_.get(), .events = POLLIN, .revents = 0}};
  backlog_drain_.add_to(polled);
  // Of a full pool, no child turns to say that a client has come.
  const bool may_queue = parked_ && phase_ == Phase::running && census_.idle == 0;
  if (may_queue && census_.waiting == 0)
    polled.push_back({.fd = descriptors_.listener, .events = POLLIN, .revents = 0});
  const Nanoseconds deadline = next_deadline();
  const timespec timeout = to_timespec(std::max<Nanoseconds>(deadline - monotonic_now(), 0));
  sigset_t none;
  sigemptyset(&none);
  ::ppoll(polled.data(), polled.size(), deadline != kNever ? &timeout : nullptr, &none);
  if (may_queue && polled.back().revents != 0) next_sample_ = 0;
}

Nanoseconds Pool::next_deadline() const {
  constexpr Nanoseconds kGuestsAreLookedAt = 50 * kMillisecond;
  if (g_child_ended != 0 && roster_.alive() > 0) return monotonic_now();
  if (backlog_drain_.lingers()) return monotonic_now() + kGuestsAreLookedAt;
  if (phase_ != Phase::running) return std::min(phase_ends_, log_.next_deadline());
  constexpr Nanoseconds kOwedRecordsAreTried = 100 * kMillisecond;
  Nanoseconds next = std::min(next_sample_, log_.next_deadline());
  if (record_.has_pending()) next = std::min(next, monotonic_now() + kOwedRecordsAreTried);
  if (roster_.pending() > 0) next = std::min(next, may_fork_at_);
  if (replacing_) next = std::min(next, next_replacing_);
  return next;
}

// ---- orders -----------------------------------------------------------------------------------

// By signal, by the front, and by a child that rings. The end of the front is an order too. A
// service manager may have sent the same order to everyone at once: only a second signal is a
// second order.
void Pool::take_orders() {
  while (auto line = control_.read(false)) carry_out(std::move(*line));
  if (g_told_to_quit != 0) {
    g_told_to_quit = 0;
    advance(Phase::quitting);
  }
  if (g_told_to_stop != 0) advance(g_told_to_stop == 1 ? Phase::stopping : Phase::quitting);
  if (control_.at_end()) advance(Phase::stopping);
  std::uint64_t count = 0;
  if (::read(wakeup_.get(), &count, sizeof count) <= 0) return;
  announce_when_up();
  if (parked_) next_sample_ = 0;
}

void Pool::carry_out(Control::Line line) {
  if (line.text == "stop") advance(Phase::stopping);
  if (line.text == "quit") advance(Phase::quitting);
  std::string_view words = line.text;
  const std::string_view order = take_token(words);
  std::uint32_t generation = 0;
  if (order == "log" && line.passed && parse_number(words, generation)) {
    log_.reopen(std::move(line.passed), generation, roster_);
    forker_.follow_log();
  }
  if (order == "spawn-log" && line.passed)
    ::dup3(line.passed.get(), descriptors_.spawn_log, O_CLOEXEC);
  if (order == "replace") new_executable_ = words;
  replace_ordered_ = replace_ordered_ || order == "replace";
}

// First by a new executable of this very program, before any child of the new generation is forked:
// the process, its children and its descriptors stay. What the front has begun to say must have
// been said.
void Pool::begin_replacing() {
  if (!replace_ordered_ || phase_ != Phase::running || !control_.is_between_lines()) return;
  replace_ordered_ = false;
  replacing_ = true;
  next_replacing_ = 0;
  scoreboard_.header().child_epoch.fetch_add(1, std::memory_order_release);
  if (new_executable_.empty()) return;
  try {
    execute(std::exchange(new_executable_, {}));  // does not come back
  } catch (const SystemError& error) {
    control_.send("exec-failed " + std::to_string(error.code));
  }
}

// A part of the pool at a time: those that are told next wait until the successors of the last are
// up. Idle children first, since the others leave when their clients do.
void Pool::replace_some() {
  const Nanoseconds now = monotonic_now();
  if (!replacing_ || phase_ != Phase::running || now < next_replacing_) return;
  const auto members = roster_.members();
  const std::uint32_t generation = scoreboard_.header().child_epoch.load();
  std::size_t on_the_way = roster_.pending();
  std::vector<std::size_t> idle;
  std::vector<std::size_t> busy;
  bool left = false;
  for (std::size_t i = 0; i < members.size(); i++) {
    if (members[i].pid == 0) continue;
    const Slot& slot = scoreboard_.slots()[i];
    const State state = slot.occupancy().state;
    const bool serves = state >= State::reading && state <= State::replying;
    const bool old = slot.child_epoch.load(std::memory_order_relaxed) != generation;
    left = left || old;
    const Nanoseconds told_at = members[i].told_at;
    const bool leaves = told_at > 0 && !serves && now < told_at + kWaitedForWhenTold;
    if (state == State::starting || leaves) on_the_way++;
    if (old && told_at == 0) (serves ? busy : idle).push_back(i);
  }
  idle.insert(idle.end(), busy.begin(), busy.end());
  const std::size_t part = std::max<std::size_t>(roster_.alive() / kParts, 1);
  const std::size_t room = part > on_the_way ? part - on_the_way : 0;
  for (std::size_t i = 0; i < std::min(room, idle.size()); i++) retire(idle[i], Cause::replaced);
  // When all are told, what is left goes on with the death of each of them.
  next_replacing_ = idle.size() > room ? now + Sizing::kSampleEvery : left ? kNever : 0;
  if (left) return;
  replacing_ = false;
  record_.write("pool: all children are of generation " + std::to_string(generation));
  control_.send("replaced");
}

void Pool::execute(const std::string& path) {
  ExecState state{.settings = setting_lines_,
                  .wakeup = wakeup_.get(),
                  .announced = announced_,
                  .children = {},
                  .pending_ends = record_.pending_ends()};
  log_.save_to(state);
  const auto members = roster_.members();
  for (std::size_t i = 0; i < members.size(); i++)
    if (members[i].pid != 0 || members[i].pending)
      state.children.push_back({.slot = i, .member = members[i]});
  const Fd fd = write_exec_state(state);

  // Nobody would know it any more; and a stopped one would outlive us.
  forker_.end();
  if (!record_.close_torn_head()) scoreboard_.header().pending.torn_heads++;
  std::vector<int> kept = log_.descriptors();
  kept.insert(kept.end(),
              {control_.fd(), descriptors_.listener, descriptors_.log, descriptors_.segment,
               descriptors_.lifeline, descriptors_.spawn_log, wakeup_.get()});
  for (const int each : kept) ::fcntl(each, F_SETFD, 0);
  std::string name = "kilofork-supervisor";
  std::string segment_name = segment_name_;
  std::string fd_text = std::to_string(fd.get());
  const std::array<char*, 4> argv{name.data(), segment_name.data(), fd_text.data(), nullptr};
  ::execv(path.c_str(), argv.data());
  fail("exec " + path);
}

// Phases are passed through in one direction.
void Pool::advance(Phase phase) {
  constexpr Nanoseconds kForSignalHandlers = 2 * kSecond;
  if (phase <= phase_) return;
  if (phase_ == Phase::running) {
    scoreboard_.header().stopping.store(1);
    control_.send("stopping");
  }
  phase_ = phase;
  switch (phase) {
    case Phase::running:
      return;
    case Phase::stopping:
      signal_members(SIGUSR2);
      backlog_drain_.begin();
      phase_ends_ = monotonic_now() + settings_.grace;
      break;
    case Phase::quitting:
      signal_members(SIGQUIT);
      backlog_drain_.begin();
      phase_ends_ = monotonic_now() + kForSignalHandlers;
      break;
    case Phase::killing:
      signal_members(SIGKILL);
      phase_ends_ = kNever;
      break;
  }
}

// Whoever has not left by the end of a phase is told more firmly.
void Pool::escalate() {
  if (phase_ == Phase::running || monotonic_now() < phase_ends_) return;
  advance(phase_ == Phase::stopping ? Phase::quitting : Phase::killing);
}

// ---- children ---------------------------------------------------------------------------------

// The kernel goes through all children up to the first that has ended: it is asked only when one
// has, and a few times. When more have, each child is asked for by its pid: that it finds at once,
// since Linux 5.13.
void Pool::reap() {
  constexpr int kFew = 16;
  if (std::exchange(g_child_ended, 0) == 0) return;
  int status = 0;
  for (int found = 0; found < kFew; found++) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (const auto index = roster_.find(pid))
      handle_exit(*index, status);
    else
      log_.on_exit(pid), forker_.on_exit(pid);
  }
  const auto members = roster_.members();
  for (std::size_t i = 0; i < members.size(); i++)
    if (members[i].pid != 0 && ::waitpid(members[i].pid, &status, WNOHANG) > 0)
      handle_exit(i, status);
  g_child_ended = 1;  // who is none of them may have ended, too
}

void Pool::handle_exit(std::size_t index, int status) {
  const State last = scoreboard_.slots()[index].occupancy().state;
  const pid_t pid = roster_.members()[index].pid;
  const bool stopping = phase_ != Phase::running;
  const Cause cause = roster_.cause_of_end(index, status, stopping);
  if (stopping && is_death(cause) && last >= State::working && last <= State::replying) {
    aborted_++;
    scoreboard_.header().aborted.fetch_add(1);
  }
  // The record comes first: of who is still in a slot when we are killed, the front writes one. Two
  // are harmless.
  record_.ended({.pid = pid, .slot = index, .cause = cause}, status, roster_.alive() - 1, census_);
  roster_.remove(index, status, stopping);
  if (cause == Cause::sick || (is_death(cause) && last <= State::starting))
    back_off(GrowthLimit::births);
  next_replacing_ = 0;
  if (parked_) next_sample_ = 0;
}

// Doubled from one try to the next, not from one death to the next: many may die of the same.
void Pool::back_off(GrowthLimit limit) {
  const Nanoseconds now = monotonic_now();
  set_growth_limit(limit);
  if (now < may_fork_at_) return;
  const bool anew = now > may_fork_at_ + settings_.longest_back_off;
  back_off_ =
      std::clamp(anew ? 0 : back_off_ * 2, settings_.first_back_off, settings_.longest_back_off);
  may_fork_at_ = now + back_off_;
  if (limit == GrowthLimit::births)
    control_.send("back-off " + std::to_string(back_off_ / kMillisecond));
}

void Pool::top_up() {
  const Need need = std::exchange(need_, {});
  if (phase_ != Phase::running || monotonic_now() < may_fork_at_) return;
  if (roster_.pending() + need.queue + need.spare == 0) return;
  std::vector<std::size_t> slots;
  const auto members = roster_.members();
  for (std::size_t i = 0; i < members.size() && slots.size() < roster_.pending(); i++)
    if (members[i].pending) slots.push_back(i);
  fork_children(slots, [&](std::size_t slot) { return members[slot].cause; });
  fork_needed(Cause::queue, need.queue);
  fork_needed(Cause::spare_low, need.spare);
}

// As many as there is memory for.
void Pool::fork_needed(Cause cause, std::size_t count) {
  if (count == 0 || monotonic_now() < may_fork_at_) return;
  const std::size_t available = available_memory();
  const std::size_t room = available > settings_.memory_reserve
                               ? (available - settings_.memory_reserve) / settings_.bytes_per_child
                               : 0;
  if (room < count) set_growth_limit(GrowthLimit::memory);
  std::vector<std::size_t> slots;
  for (std::size_t from = 0; slots.size() < std::min(count, room); from = slots.back() + 1) {
    const auto vacant = roster_.find_vacant(from);
    if (!vacant) break;
    slots.push_back(*vacant);
  }
  fork_children(slots, [cause](std::size_t /*slot*/) { return cause; });
}

void Pool::fork_children(std::span<const std::size_t> slots,
                         const std::function<Cause(std::size_t)>& cause_of) {
  if (slots.empty()) return;
  for (const std::size_t slot : slots) roster_.reserve(slot, cause_of(slot), log_.epoch());
  std::vector<pid_t> pids(slots.size());
  forker_.fork_children(slots, pids);
  const int error = errno;
  for (std::size_t i = 0; i < slots.size(); i++) {
    const Cause cause = cause_of(slots[i]);
    if (pids[i] == 0) {
      roster_.cancel(slots[i], cause);
      continue;
    }
    roster_.confirm(slots[i], pids[i], cause);
    record_.forked({.pid = pids[i], .slot = slots[i], .cause = cause}, roster_.alive(), census_);
  }
  const bool complete = std::find(pids.begin(), pids.end(), 0) == pids.end();
  const bool forker_lost = !complete && !forker_.is_running();
  const bool lost_before = std::exchange(forker_lost_, forker_lost);
  if (complete) return;
  // A forker that was killed says nothing about the machine: the next try has another one. But not
  // within a tick of the clock: a slot that is reserved anew must not look as it did before.
  if (forker_lost && !lost_before) {
    may_fork_at_ = std::max(may_fork_at_, monotonic_now() + 2 * kLongestTick);
    return;
  }
  back_off(GrowthLimit::processes);
  control_.send("fork-failed " + std::to_string(error) + " " + std::to_string(roster_.alive()));
}

void Pool::retire(std::size_t index, Cause cause) {
  const pid_t pid = roster_.members()[index].pid;
  roster_.mark_leaving(index, cause, monotonic_now());
  record_.retires({.pid = pid, .slot = index, .cause = cause}, roster_.alive(), census_);
  ::kill(pid, SIGTERM);
}

// The first time that all children wait for clients, the front is told.
void Pool::announce_when_up() {
  if (announced_ || roster_.pending() > 0) return;
  const auto slots = scoreboard_.slots();
  if (std::any_of(slots.begin(), slots.end(),
                  [](const Slot& slot) { return slot.occupancy().state == State::starting; }))
    return;
  announced_ = true;
  control_.send("up " + std::to_string(roster_.alive()) + " " +
                std::to_string(monotonic_now() - started_));
}

void Pool::signal_members(int signal) {
  for (const Member& member : roster_.members())
    if (member.pid != 0) ::kill(member.pid, signal);
}

// ---- looks ------------------------------------------------------------------------------------

Census Pool::take_census() const {
  return roster_.census(count_waiting(descriptors_.listener));
}

// What the pool needs, by the rule of sizing.hpp.
void Pool::sample() {
  const Nanoseconds now = monotonic_now();
  if (phase_ != Phase::running || now < next_sample_) return;
  const Census census = take_census();
  if (std::exchange(parked_, false)) {
    scoreboard_.header().supervisor_parked.store(0);
    sizing_.begin(census, now);
  } else {
    need_ = sizing_.sample(census, now);
  }
  for (const std::size_t index :
       roster_.find_idle(sizing_.surplus(census.idle - roster_.pending(), now)))
    retire(index, Cause::idle);
  note_fullness(census);

  const bool unmet = need_.queue + need_.spare > 0;
  unchanged_ = census == census_ && !unmet ? unchanged_ + 1 : 0;
  census_ = census;
  if (unchanged_ >= kUnchangedSamplesBeforePark) {
    park(now);
    return;
  }
  const auto limit = static_cast<GrowthLimit>(scoreboard_.header().growth_limit.load());
  const bool often = settings_.limits.is_dynamic() &&
                     (limit == GrowthLimit::none || limit == GrowthLimit::maximum);
  const Nanoseconds interval = often ? Sizing::kSampleEvery : kSparseSamples;
  next_sample_ = now + std::max(interval, (monotonic_now() - now) * kCostlySample);
}

// The last look comes after the announcement: whoever turns from now on sees that and rings.
void Pool::park(Nanoseconds now) {
  auto& parked = scoreboard_.header().supervisor_parked;
  parked.store(1);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  parked_ = take_census() == census_;
  if (parked_) {
    const Nanoseconds surplus_at = sizing_.next_surplus(census_.idle - roster_.pending());
    next_sample_ = surplus_at > 0 ? surplus_at : kNever;
  } else {
    parked.store(0);
    next_sample_ = now + Sizing::kSampleEvery;
  }
}

// What the pool is held back by, until a look finds that it has all it needs.
void Pool::set_growth_limit(GrowthLimit limit) {
  auto& now = scoreboard_.header().growth_limit;
  const auto value = static_cast<std::uint32_t>(limit);
  if (now.load(std::memory_order_relaxed) == value) return;
  now.store(value, std::memory_order_relaxed);
  constexpr std::array<const char*, 5> kNames{"none", "maximum", "memory", "processes", "births"};
  control_.send(std::string("growth-limit ") + kNames.at(value));
}

// Full: every child that there may be has a client, and the next client has to wait.
void Pool::note_fullness(const Census& census) {
  Header& header = scoreboard_.header();
  const bool full = census.idle == 0 && census.alive >= settings_.limits.max;
  const std::int64_t since = header.full_since.load(std::memory_order_relaxed);
  const std::int64_t age = scoreboard_.age();
  if (full && since == 0) {
    header.full_since.store(std::max<std::int64_t>(age, 1), std::memory_order_relaxed);
    header.full_times.fetch_add(1, std::memory_order_relaxed);
  } else if (!full && since != 0) {
    header.full_before.fetch_add(age - since, std::memory_order_relaxed);
    header.full_since.store(0, std::memory_order_relaxed);
  }
  if (need_.queue + need_.spare > 0 || roster_.pending() > 0) return;
  const bool clients_wait = census.waiting > 0 && census_.waiting > 0;  // also at the last look
  set_growth_limit(full && clients_wait ? GrowthLimit::maximum : GrowthLimit::none);
}

// The front writes the last records; where it is gone, the supervisor does, and removes the
// segment.
void Pool::close_books() {
  record_.write_pending();  // a disk that was full may have room again
  while (control_.read(false)) continue;
  control_.send("stopped " + std::to_string(aborted_));
  if (!control_.at_end()) {
    if (!record_.close_torn_head()) scoreboard_.header().pending.torn_heads++;
    return;
  }
  record_.write("total requests " + std::to_string(scoreboard_.total()));
  if (record_.is_complete()) record_.write("Server stop");  // an end says that nothing is missing
  Segment::remove(segment_name_);
}

}  // namespace kilofork
