#include "child/child.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <optional>

#include "child/child_log.hpp"
#include "child/connection.hpp"
#include "log/append_log.hpp"
#include "process/signals.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

namespace {

ChildSignals* g_child = nullptr;

// From here on accept() fails, also one that is about to begin: were the flag alone set, a signal
// between the last look at it and accept() would be lost until the next client comes.
void turn_from_listener() {
  ::dup2(g_child->context->lifeline, g_child->context->listener);
}

void on_retire(int /*signal*/) {
  const int saved = errno;
  g_child->retiring = 1;
  turn_from_listener();
  errno = saved;
}

// As for accept(), so for read(): what has arrived stays readable, then comes an end of file.
void on_stop(int /*signal*/) {
  const int saved = errno;
  g_child->stopping = 1;
  turn_from_listener();
  if (g_child->connection >= 0) ::shutdown(g_child->connection, SHUT_RD);
  errno = saved;
}

void on_quit(int signal);
void on_wake(int signal);
void on_alarm(int signal);

std::size_t output_bytes(const Service& service) {
  // Records and replies are built in the same place, one after the other; the longest record is
  // longer than the longest reply around the same message by its escapes.
  const Template::Values longest_names{
      .pid = "4194304", .user = "1234567890123456789012345678901", .message = {}, .n = {}};
  return std::max(AppendLog::buffer_bytes(service.max_line),
                  service.reply.size(longest_names) + service.max_line);
}

// The same for the same address, and never 0: FNV-1a. The port does not count.
std::uint64_t number_of(const sockaddr_storage& address) {
  constexpr std::uint64_t kBasis = 0xcbf29ce484222325;
  constexpr std::uint64_t kPrime = 0x100000001b3;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(
      &reinterpret_cast<const sockaddr_in&>(address).sin_addr);
  std::size_t length = sizeof(in_addr);
  if (address.ss_family == AF_INET6) {
    bytes = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr.s6_addr;
    length = sizeof(in6_addr);
  }
  std::uint64_t number = kBasis;
  for (std::size_t i = 0; i < length; i++) number = (number ^ bytes[i]) * kPrime;
  return std::max<std::uint64_t>(number, 1);
}

class Child {
 public:
  Child(const ChildContext& context, Slot& slot);
  [[noreturn]] void run();
  // In signal handlers:
  ChildLog& log() { return log_; }
  [[noreturn]] void leave(ChildExit how);
  [[noreturn]] void give_up_work();  // while the work is done: no record is being built

 private:
  int accept();
  [[nodiscard]] bool is_one_too_many() const;
  void serve(Connection& client);
  bool answer(Connection& client, bool ended);
  bool handle(Connection& client, const Request& request);
  bool retract(Connection& client, const Request& request, std::uint64_t count);
  bool refuse(Connection& client, Refusal refusal);
  bool tell(Connection& client, Refusal refusal);
  void work(const Request& request);
  void work() const;

  void wake_supervisor() const { wake_up(context_.wakeup); }
  void wake_supervisor_if_parked() const;
  bool send(Connection& client, const Template& text, const Template::Values& values);
  void enter(State state) { slot_.enter(pid_, state, scoreboard_.age()); }

  const ChildContext& context_;
  const Service& service_;
  Scoreboard& scoreboard_;
  Slot& slot_;
  std::atomic<std::uint64_t>& peer_;
  const pid_t pid_;
  std::array<char, 12> pid_text_{};
  std::string_view pid_view_;
  const std::uint64_t total_at_birth_;
  const std::uint64_t last_total_;  // after which it is recycled

  std::span<char> input_;
  std::span<char> output_;
  ChildLog log_;
  std::string_view message_;    // of the request in work, …
  Nanoseconds work_began_ = 0;  // … for give_up_work()
};

// Children of one pool are not to be recycled all at the same time.
std::uint64_t requests_allowed(const Service& service) {
  constexpr std::uint64_t kMixer = 0x9e3779b97f4a7c15;  // the golden ratio: spreads close numbers
  const auto random = static_cast<std::uint64_t>(monotonic_now() ^ ::getpid()) * kMixer >> 16;
  return service.max_requests + random % (service.max_requests_jitter + 1);
}

Child::Child(const ChildContext& context, Slot& slot)
    : context_(context),
      service_(context.service),
      scoreboard_(context.scoreboard),
      slot_(slot),
      peer_(scoreboard_.peers()[static_cast<std::size_t>(&slot - scoreboard_.slots().data())]),
      pid_(::getpid()),
      total_at_birth_(slot.total.load(std::memory_order_relaxed)),
      last_total_(service_.max_requests == 0 ? UINT64_MAX
                                             : total_at_birth_ + requests_allowed(service_)),
      input_(context.memory, Connection::input_bytes(service_)),
      output_(context.memory + input_.size(), output_bytes(service_)),
      log_(context, slot, pid_, output_) {
  char* const end = std::to_chars(pid_text_.data(), pid_text_.data() + pid_text_.size(), pid_).ptr;
  pid_view_ = {pid_text_.data(), static_cast<std::size_t>(end - pid_text_.data())};
  enter(State::starting);
}

void Child::run() {
  bool ready = false;
  while (g_child->retiring == 0 && g_child->stopping == 0) {
    if (slot_.total.load(std::memory_order_relaxed) >= last_total_) leave(kExitRecycled);
    enter(State::idle);
    if (!ready) wake_supervisor();
    ready = true;
    wake_supervisor_if_parked();
    const int fd = accept();
    if (fd >= 0) {
      Connection client(Fd(fd), service_, input_, g_child->stopping);
      g_child->connection = fd;
      serve(client);
      g_child->connection = -1;
      peer_.store(0, std::memory_order_relaxed);
    } else if (errno == EAGAIN) {
      // The listener does not block: the supervisor is stopping and empties the queue itself.
      pollfd listener{.fd = context_.listener, .events = POLLIN, .revents = 0};
      ::poll(&listener, 1, 100);
    } else if (g_child->retiring == 0 && g_child->stopping == 0 && errno != EINTR &&
               errno != ECONNABORTED && errno != EPROTO && errno != EPERM) {
      leave(kExitSick);
    }
  }
  enter(State::stopping);
  leave(kExitOrdered);
}

void Child::leave(ChildExit how) {
  log_.leave();
  ::_exit(how);
}

// As accept4(2). Whose connection it is, is only asked where it matters.
int Child::accept() {
  if (service_.max_per_address == 0)
    return ::accept4(context_.listener, nullptr, nullptr, SOCK_CLOEXEC);
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const int connection =
      ::accept4(context_.listener, reinterpret_cast<sockaddr*>(&address), &length, SOCK_CLOEXEC);
  if (connection >= 0) peer_.store(number_of(address), std::memory_order_seq_cst);
  return connection;
}

// Counted from what each child has, so that a child that is killed takes its share along. Two that
// come at the same time see each other; then neither is let in beyond the limit.
bool Child::is_one_too_many() const {
  const std::uint64_t own = peer_.load(std::memory_order_relaxed);
  if (service_.max_per_address == 0 || own == 0) return false;
  std::uint64_t count = 0;
  for (const auto& peer : scoreboard_.peers())
    if (peer.load(std::memory_order_seq_cst) == own) count++;
  return count > service_.max_per_address;
}

// A supervisor that rests wants to know of the next child that turns from idle to busy or back. It
// announces its rest and then looks once more; the child makes its turn and then looks for the
// announcement: with a full fence on both sides, one of the two sees the other. Only the supervisor
// takes it back: a child that is stopped before it rings takes nobody's ring along.
void Child::wake_supervisor_if_parked() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (scoreboard_.header().supervisor_parked.load(std::memory_order_relaxed) != 0)
    wake_supervisor();
}

// One connection, from its greeting to its end; closing it is the caller's.
void Child::serve(Connection& client) {
  using Got = Connection::Got;
  slot_.connections.fetch_add(1, std::memory_order_relaxed);
  enter(State::reading);
  wake_supervisor_if_parked();
  // Had the order come before the connection was known, its handler would not have shut it.
  if (g_child->stopping != 0) {
    refuse(client, Refusal::shutting_down);
    return;
  }
  if (is_one_too_many()) {
    peer_.store(0, std::memory_order_relaxed);
    refuse(client, Refusal::busy);
    return;
  }
  if (!send(client, service_.greeting, {.pid = pid_view_, .user = {}, .message = {}, .n = {}}))
    return;
  for (;;) {
    switch (client.next_line()) {
      case Got::line:
        if (!answer(client, true)) return;
        break;
      case Got::last_line:
        answer(client, false);
        return;
      case Got::too_long:
        refuse(client, Refusal::too_long);
        return;
      case Got::timeout:
        refuse(client, Refusal::timeout);
        return;
      case Got::stopped:
        if (client.has_more())
          refuse(client, Refusal::shutting_down);
        else
          client.end(service_.linger_timeout);
        return;
      case Got::end:
      case Got::lost:
        return;
    }
    enter(State::reading);
  }
}

// True: answered, and the connection may be kept.
bool Child::answer(Connection& client, bool ended) {
  const std::optional<Request> request = parse_request(client.line(), ended);
  if (!request) return refuse(client, Refusal::protocol);
  if (!scoreboard_.users().contains(request->user)) {
    log_.record_unknown_user(request->user);
    return refuse(client, Refusal::unauthorized);
  }
  g_child->in_request = 1;
  const bool kept = handle(client, *request);
  g_child->in_request = 0;
  return kept;
}

bool Child::handle(Connection& client, const Request& request) {
  if (!log_.record_received(request)) return refuse(client, Refusal::unavailable);
  enter(State::working);
  work(request);
  // Before the look at whether the log is still good: see LogManager::wait_for_retractions().
  enter(service_.synced ? State::syncing : State::replying);
  const std::uint64_t total = slot_.total.load(std::memory_order_relaxed) + 1;
  const std::uint64_t count = total - total_at_birth_;
  if (!log_.record_completed(request, count)) {
    enter(State::replying);
    return refuse(client, Refusal::unavailable);
  }
  if (service_.synced) {
    if (!log_.sync()) return retract(client, request, count);
    enter(State::replying);
  }
  // The order that the ledger rests on: completed, counted, replied.
  slot_.total.store(total, std::memory_order_release);
  return send(client, service_.reply,
              {.pid = pid_view_, .user = request.user, .message = request.message, .n = {}});
}

// The client is told at once, the log when there is one that it can be told. Always false.
bool Child::retract(Connection& client, const Request& request, std::uint64_t count) {
  const bool told = tell(client, Refusal::unavailable);
  if (!log_.retract(request, count, g_child->stopping)) leave(kExitAborted);
  enter(State::replying);
  if (told) client.end(service_.linger_timeout);
  return false;
}

// The timer is the child's own, and what it ends is known to be this request: one that fires after
// the work finds in_work taken back.
void Child::work(const Request& request) {
  if (service_.work_timeout == 0) return work();
  const auto set_alarm = [](Nanoseconds after) {
    const itimerval alarm{.it_interval = {}, .it_value = to_timeval(after)};
    ::setitimer(ITIMER_REAL, &alarm, nullptr);
  };
  message_ = request.message;
  work_began_ = monotonic_now();
  g_child->in_work = 1;
  set_alarm(service_.work_timeout);
  work();
  g_child->in_work = 0;
  set_alarm(0);
}

void Child::give_up_work() {
  log_.record_work_timeout(message_, monotonic_now() - work_began_);
  ::_exit(kExitStuck);
}

void Child::work() const {
  timespec until = to_timespec(monotonic_now() + service_.work.duration);
  switch (service_.work.kind) {
    case Work::Kind::none:
      return;
    case Work::Kind::sleep:
      while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) continue;
      return;
    case Work::Kind::spin: {
      const Nanoseconds end = read_clock(CLOCK_PROCESS_CPUTIME_ID) + service_.work.duration;
      while (read_clock(CLOCK_PROCESS_CPUTIME_ID) < end)
        for (int i = 0; i < 1000; i++) asm volatile("");  // between two looks at the clock
      return;
    }
  }
}

// Tells the client why and sees to it that it can read that. Always false: nothing is kept.
bool Child::refuse(Connection& client, Refusal refusal) {
  // An unknown user has a record of its own, with the name; of an unavailable log there is none.
  if (refusal != Refusal::unauthorized && refusal != Refusal::unavailable)
    log_.record_refusal(refusal);
  // Who holds too much already gets little of a child's time to read that.
  constexpr Nanoseconds kForTheBusy = 20 * kMillisecond;
  if (tell(client, refusal))
    client.end(refusal == Refusal::busy ? std::min(kForTheBusy, service_.linger_timeout)
                                        : service_.linger_timeout);
  return false;
}

bool Child::tell(Connection& client, Refusal refusal) {
  const auto index = static_cast<std::size_t>(refusal);
  slot_.refused.at(index).fetch_add(1, std::memory_order_relaxed);
  return client.send(service_.refusals.at(index));
}

bool Child::send(Connection& client, const Template& text, const Template::Values& values) {
  const char* const end = text.render(values, output_.data());
  return client.send({output_.data(), static_cast<std::size_t>(end - output_.data())});
}

Child& self() {
  return *static_cast<Child*>(g_child->child);
}

// A caught signal never interrupts a write() to a file half-way, so no record is torn by leaving.
// An orphan looks whether the front is gone as well: then nobody else is left to remove the
// segment. It waits a moment, since the two may be dying at the same time.
void on_quit(int /*signal*/) {
  constexpr int kFrontsLastMoment = 20;  // ms
  const ChildContext& context = *g_child->context;
  if (::getppid() != context.supervisor) {
    pollfd front{.fd = context.lifeline, .events = 0, .revents = 0};
    if (::poll(&front, 1, kFrontsLastMoment) > 0) ::unlink(context.segment_path);
  }
  self().leave(g_child->in_request != 0 ? kExitAborted : kExitOrdered);
}

// Not left to the loop: a child between its look at the log and accept() would keep the old one.
void on_wake(int /*signal*/) {
  const int saved = errno;
  self().log().follow();
  errno = saved;
}

void on_alarm(int /*signal*/) {
  if (g_child->in_work != 0) self().give_up_work();
}

// The kernel ends the child with the supervisor. A death before that was asked for is seen by the
// changed parent.
void follow_supervisor(pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (::getppid() != supervisor) ::_exit(kExitOrdered);
}

}  // namespace

std::size_t child_memory_bytes(const Service& service) {
  return Connection::input_bytes(service) + output_bytes(service);
}

void set_up_signals_of_children(ChildSignals& signals) {
  g_child = &signals;
  handle_signal(SIGTERM, on_retire);
  handle_signal(SIGUSR2, on_stop);
  handle_signal(SIGQUIT, on_quit);
  handle_signal(SIGUSR1, on_wake);
  handle_signal(SIGALRM, on_alarm);
  for (const int ignored : {SIGHUP, SIGINT, SIGPIPE, SIGXFSZ}) handle_signal(ignored, SIG_IGN);
  handle_signal(SIGCHLD, SIG_DFL);
}

void run_child(const ChildContext& context, Slot& slot, std::uint64_t reserved) {
  g_child->context = &context;
  follow_supervisor(context.supervisor);
  if (!slot.claim(reserved, ::getpid())) ::_exit(kExitOrdered);
  ::prctl(PR_SET_NAME, context.name);
  Child child(context, slot);
  g_child->child = &child;
  child.log().follow();  // the fork server may have been forked before the newest
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  child.run();
}

}  // namespace kilofork
