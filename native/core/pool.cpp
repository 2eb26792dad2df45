#include "pool.hpp"

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
#include <cstring>

#include "error.hpp"

namespace kilofork {

namespace {

// Set by handlers, read by the loop. SIGCHLD has a handler only so that it ends the wait.
volatile sig_atomic_t g_told_to_stop = 0;
volatile sig_atomic_t g_told_to_quit = 0;

void on_stop(int /*signal*/) {
  g_told_to_stop = 1;
}
void on_quit(int /*signal*/) {
  g_told_to_quit = 1;
}
void on_child(int /*signal*/) {}

// Signals are blocked but for the time of ppoll(2): none is missed between two looks at a flag.
void set_up_signals() {
  struct sigaction action {};
  sigfillset(&action.sa_mask);
  const auto handle = [&action](int signal, void (*handler)(int)) {
    action.sa_handler = handler;
    ::sigaction(signal, &action, nullptr);
  };
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  handle(SIGCHLD, on_child);
  handle(SIGTERM, on_stop);
  handle(SIGINT, on_stop);
  handle(SIGQUIT, on_quit);
  for (const int ignored : {SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2}) handle(ignored, SIG_IGN);
}

// When memory runs out, let the kernel take a child before it takes the front. Set around the
// forks, since a child inherits it, and inheriting costs nothing.
class OfferToOomKiller {
 public:
  OfferToOomKiller() : fd_(::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC)) {
    if (!fd_) return;
    length_ = ::pread(fd_.get(), before_.data(), before_.size(), 0);
    (void)!::pwrite(fd_.get(), "500", 3, 0);
  }
  OfferToOomKiller(const OfferToOomKiller&) = delete;
  OfferToOomKiller& operator=(const OfferToOomKiller&) = delete;
  ~OfferToOomKiller() {
    if (length_ > 0)
      (void)!::pwrite(fd_.get(), before_.data(), static_cast<std::size_t>(length_), 0);
  }

 private:
  Fd fd_;
  std::array<char, 16> before_{};
  ssize_t length_ = 0;
};

std::span<std::byte> map_private(std::size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of the supervisor's memory");
  return {static_cast<std::byte*>(memory), bytes};
}

constexpr std::size_t kRecordBytes = 512;

}  // namespace

Pool::Pool(PoolSettings settings, Control control, const PoolDescriptors& descriptors,
           Scoreboard scoreboard, std::string segment_name)
    : settings_(std::move(settings)),
      scoreboard_(std::move(scoreboard)),
      segment_name_(std::move(segment_name)),
      control_(std::move(control)),
      log_fd_(descriptors.log),
      births_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      handoff_(make_log_handoff()),
      turn_away_(descriptors.listener,
                 settings_.service.refusals.at(static_cast<std::size_t>(Refusal::shutting_down)),
                 settings_.service.linger_timeout),
      context_{.service = settings_.service,
               .scoreboard = scoreboard_,
               .segment_path = "/dev/shm" + segment_name_,
               .supervisor = ::getpid(),
               .listener = descriptors.listener,
               .log = descriptors.log,
               .log_generation = scoreboard_.header().log_generation.load(),
               .lifeline = descriptors.lifeline,
               .handoff = handoff_.take.get(),
               .births = births_.get(),
               .memory = reinterpret_cast<char*>(
                   map_private(child_memory_bytes(settings_.service)).data())},
      private_memory_(map_private(scoreboard_.slots().size() * sizeof(pid_t) + kRecordBytes)),
      members_(reinterpret_cast<pid_t*>(private_memory_.data()), scoreboard_.slots().size()),
      log_(log_fd_, {reinterpret_cast<char*>(members_.data() + members_.size()), kRecordBytes}) {
  ::madvise(private_memory_.data(), private_memory_.size(), MADV_DONTFORK);
  set_up_signals();
  scoreboard_.header().supervisor.store(::getpid(), std::memory_order_release);
}

Pool::~Pool() {
  ::munmap(private_memory_.data(), private_memory_.size());
}

std::uint64_t Pool::run() {
  started_ = monotonic_now();
  top_up();
  while (phase_ == Phase::running || alive_ > 0) {
    wait();
    obey();
    reap();
    hurry();
    top_up();
    turn_away_.run();
  }
  turn_away_.refuse_newcomers();
  for (turn_away_.run(); turn_away_.lingers(); turn_away_.run()) wait();
  close_books();
  return cut_;
}

// The one place where the supervisor waits.
void Pool::wait() {
  std::vector<pollfd> polled{
      {.fd = control_.at_end() ? -1 : control_.fd(), .events = POLLIN, .revents = 0},
      {.fd = births_.get(), .events = POLLIN, .revents = 0}};
  turn_away_.add_to(polled);
  const Nanoseconds deadline = next_deadline();
  const timespec timeout = to_timespec(std::max<Nanoseconds>(deadline - monotonic_now(), 0));
  sigset_t none;
  sigemptyset(&none);
  ::ppoll(polled.data(), polled.size(), deadline > 0 ? &timeout : nullptr, &none);
}

// 0: nothing is due, however long it takes.
Nanoseconds Pool::next_deadline() const {
  constexpr Nanoseconds kGuestsAreLookedAt = 50 * kMillisecond;
  if (turn_away_.lingers()) return monotonic_now() + kGuestsAreLookedAt;
  if (phase_ == Phase::running)
    return alive_ < members_.size() ? std::max<Nanoseconds>(may_fork_at_, 1) : 0;
  return phase_ends_;
}

// Orders, by signal and by the front. Its end is an order too.
void Pool::obey() {
  while (auto line = control_.read(false)) obey_line(std::move(*line));
  if (g_told_to_quit != 0) {
    g_told_to_quit = 0;
    advance(Phase::quitting);
  }
  if (g_told_to_stop != 0) {
    g_told_to_stop = 0;
    advance(phase_ == Phase::running ? Phase::stopping : Phase::quitting);
  }
  if (control_.at_end()) advance(Phase::stopping);
  std::uint64_t count = 0;
  if (::read(births_.get(), &count, sizeof count) > 0) announce_when_up();
}

void Pool::obey_line(Control::Line line) {
  if (line.text == "stop") g_told_to_stop = 1;
  if (line.text == "quit") g_told_to_quit = 1;
  if (line.text == "log" && line.passed) reopen_log(std::move(line.passed));
}

void Pool::reopen_log(Fd log) {
  ::dup3(log.get(), log_fd_, O_CLOEXEC);
  context_.log_generation++;
  offer_log(handoff_, log_fd_, context_.log_generation);
  scoreboard_.header().log_generation.store(context_.log_generation, std::memory_order_release);
  signal_members(SIGUSR1);  // the idle ones let go of the old file, too
}

// Phases are passed through in one direction.
void Pool::advance(Phase phase) {
  constexpr Nanoseconds kForSignalHandlers = 2 * kSecond;
  if (phase <= phase_) return;
  phase_ = phase;
  switch (phase) {
    case Phase::running:
      return;
    case Phase::stopping:
      control_.send("stopping");
      signal_members(SIGUSR2);
      turn_away_.begin();
      phase_ends_ = monotonic_now() + settings_.grace;
      break;
    case Phase::quitting:
      signal_members(SIGQUIT);
      turn_away_.begin();
      phase_ends_ = monotonic_now() + kForSignalHandlers;
      break;
    case Phase::killing:
      signal_members(SIGKILL);
      phase_ends_ = 0;
      break;
  }
}

void Pool::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto member = std::find(members_.begin(), members_.end(), pid);
    if (member != members_.end()) bury(static_cast<std::size_t>(member - members_.begin()), status);
  }
}

// Records the end of a child and gives its slot free. What it has counted stays in the slot.
void Pool::bury(std::size_t index, int status) {
  Slot& slot = scoreboard_.slots()[index];
  Header& header = scoreboard_.header();
  const bool ordered = WIFEXITED(status) && WEXITSTATUS(status) == kExitOrdered;
  const bool stopping = phase_ != Phase::running;
  if (!ordered && stopping) cut_++;
  record_end(members_[index], status, !ordered ? "abnormal" : stopping ? "stopped" : "retired");
  (ordered ? header.left : header.died).fetch_add(1, std::memory_order_relaxed);

  const State last = slot.occupancy().state;
  const bool at_birth = last == State::vacant || last == State::starting ||
                        (WIFEXITED(status) && WEXITSTATUS(status) == kExitSick);
  slot.enter(0, State::vacant, scoreboard_.age());
  members_[index] = 0;
  alive_--;
  if (at_birth && !ordered) back_off();
}

void Pool::back_off() {
  back_off_ = std::clamp(back_off_ * 2, settings_.first_back_off, settings_.longest_back_off);
  may_fork_at_ = monotonic_now() + back_off_;
  control_.send("back-off " + std::to_string(back_off_ / kMillisecond));
}

void Pool::record_end(pid_t pid, int status, const char* cause) {
  log_.record().text("child pid ").number(pid).text(" ended: ");
  if (WIFSIGNALED(status))
    log_.text("signal ").number(WTERMSIG(status));
  else
    log_.text("exit ").number(WEXITSTATUS(status));
  log_.text(", ").text(cause).commit();
}

// Whoever has not left by the end of a phase is told more firmly.
void Pool::hurry() {
  if (phase_ == Phase::running || phase_ends_ == 0 || monotonic_now() < phase_ends_) return;
  advance(phase_ == Phase::stopping ? Phase::quitting : Phase::killing);
}

void Pool::top_up() {
  if (phase_ != Phase::running || alive_ == members_.size()) return;
  if (monotonic_now() < may_fork_at_) return;
  const OfferToOomKiller offer;
  for (std::size_t i = 0; i < members_.size(); i++) {
    if (members_[i] == 0 && !fork_child(i)) return;
  }
}

bool Pool::fork_child(std::size_t index) {
  Slot& slot = scoreboard_.slots()[index];
  slot.enter(0, State::starting, scoreboard_.age());
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(control_.fd());  // its end must tell the front that the supervisor is gone
    run_child(context_, slot);
  }
  if (pid < 0) {
    const int error = errno;
    slot.enter(0, State::vacant, scoreboard_.age());
    control_.send("fork-failed " + std::to_string(error) + " " + std::to_string(alive_));
    back_off();
    return false;
  }
  members_[index] = pid;
  alive_++;
  scoreboard_.header().forked.fetch_add(1, std::memory_order_relaxed);
  log_.record().text("have child pid ").number(pid).commit();
  return true;
}

// A child that reaches its first accept() ends the back-off; the first time that all have, the
// front is told.
void Pool::announce_when_up() {
  back_off_ = 0;
  if (announced_) return;
  const auto slots = scoreboard_.slots();
  if (!std::all_of(slots.begin(), slots.end(),
                   [](const Slot& slot) { return slot.occupancy().state > State::starting; }))
    return;
  announced_ = true;
  control_.send("up " + std::to_string(alive_) + " " + std::to_string(monotonic_now() - started_));
}

void Pool::signal_members(int signal) {
  for (const pid_t pid : members_)
    if (pid != 0) ::kill(pid, signal);
}

// The front writes the last records; where it is gone, the supervisor does, and removes the
// segment.
void Pool::close_books() {
  control_.send("stopped " + std::to_string(cut_));
  if (!control_.at_end()) return;
  log_.record()
      .text("total requests ")
      .number(static_cast<std::int64_t>(scoreboard_.total()))
      .commit();
  log_.record().text("Server stop").commit();
  Scoreboard::remove(segment_name_);
}

}  // namespace kilofork
