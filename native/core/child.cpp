#include "child.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <optional>

#include "append_log.hpp"
#include "listener.hpp"
#include "lockdown.hpp"
#include "log_handoff.hpp"

namespace kilofork {

namespace {

// What the signal handlers share with the loop. A process is one child, so there is one of it.
struct {
  volatile sig_atomic_t retiring;
  volatile sig_atomic_t stopping;
  volatile sig_atomic_t in_request;  // from before its first record until its reply is sent
  volatile sig_atomic_t in_work;     // the part of it between the two records
  volatile int connection;           // -1 between connections
  const ChildContext* context;
} g_child;

// From here on accept() fails, also one that is about to begin: were the flag alone set, a signal
// between the last look at it and accept() would be lost until the next client comes.
void turn_from_listener() {
  ::dup2(g_child.context->lifeline, g_child.context->listener);
}

void on_retire(int /*signal*/) {
  const int saved = errno;
  g_child.retiring = 1;
  turn_from_listener();
  errno = saved;
}

// As for accept(), so for read(): what has arrived stays readable, then comes an end of file.
void on_stop(int /*signal*/) {
  const int saved = errno;
  g_child.stopping = 1;
  turn_from_listener();
  if (g_child.connection >= 0) ::shutdown(g_child.connection, SHUT_RD);
  errno = saved;
}

// A caught signal never interrupts a write() to a file half-way, so no record is torn by leaving.
// An orphan looks whether the front is gone as well: then nobody else is left to remove the
// segment. It waits a moment, since the two may be dying at the same time.
void on_quit(int /*signal*/) {
  constexpr int kFrontsLastMoment = 20;  // ms
  const ChildContext& context = *g_child.context;
  if (::getppid() != context.supervisor) {
    pollfd front{.fd = context.lifeline, .events = 0, .revents = 0};
    if (::poll(&front, 1, kFrontsLastMoment) > 0) ::unlink(context.segment_path);
  }
  ::_exit(g_child.in_request != 0 ? kExitCut : kExitOrdered);
}

void on_wake(int signal);
void on_alarm(int signal);

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigfillset(&action.sa_mask);  // one at a time; no SA_RESTART: a signal must end accept()
  ::sigaction(signal, &action, nullptr);
}

std::size_t input_bytes(const Service& service) {
  constexpr std::size_t kPipelined = 2048;  // room for several short requests in one read()
  return std::max(service.max_line, kPipelined);
}

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
  // Turns to the newest log, as far as it can be had. Safe in a signal handler: system calls only,
  // and a record that is being built is not touched.
  void follow_log();
  // In the handler of SIGALRM, while the work is done: no record is being built.
  [[noreturn]] void give_up_work();

 private:
  enum class Got : std::uint8_t { line, last_line, end, too_long, timeout, stopped, lost };

  int accept();
  [[nodiscard]] bool is_one_too_many() const;
  void serve();
  Got next_line();
  [[nodiscard]] bool has_unread() const;
  bool answer(std::string_view line, bool ended);
  bool refuse(Refusal refusal);
  void close_after_last_word(Nanoseconds patience);

  bool note(bool written);
  [[nodiscard]] bool record_received(const Request& request);
  [[nodiscard]] bool record_completed(const Request& request, std::uint64_t count);
  void record_refusal(Refusal refusal);
  void work(const Request& request);
  void work() const;

  void ring() const;
  void ring_if_awaited() const;
  AppendLog& log() {
    follow_log();
    return log_;
  }
  bool send_all(std::string_view bytes);
  bool send_template(const Template& text, const Template::Values& values);
  void wait_for_bytes(Nanoseconds timeout);
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

  // [start_, end_) of input_ is what was read and not yet consumed; line_ lies before start_.
  char* const input_;
  std::size_t start_ = 0;
  std::size_t end_ = 0;
  std::string_view line_;
  std::span<char> output_;
  AppendLog log_;
  std::uint32_t log_generation_;
  Nanoseconds receive_timeout_ = 0;  // as set on the present connection
  std::string_view message_;         // of the request in work, …
  Nanoseconds work_began_ = 0;       // … for give_up_work()
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
      input_(context.memory),
      output_(context.memory + input_bytes(service_), output_bytes(service_)),
      log_(context.log, output_),
      log_generation_(context.log_generation) {
  char* const end = std::to_chars(pid_text_.data(), pid_text_.data() + pid_text_.size(), pid_).ptr;
  pid_view_ = {pid_text_.data(), static_cast<std::size_t>(end - pid_text_.data())};
  slot_.log_generation.store(log_generation_, std::memory_order_relaxed);
  enter(State::starting);
}

void Child::run() {
  bool ready = false;
  while (g_child.retiring == 0 && g_child.stopping == 0) {
    if (slot_.total.load(std::memory_order_relaxed) >= last_total_) ::_exit(kExitRecycled);
    enter(State::idle);
    if (!ready) ring();
    ready = true;
    ring_if_awaited();
    const int connection = accept();
    if (connection >= 0) {
      g_child.connection = connection;
      serve();
      g_child.connection = -1;
      peer_.store(0, std::memory_order_relaxed);
      ::close(connection);
    } else if (errno == EAGAIN) {
      // The listener does not block: the supervisor is stopping and empties the queue itself.
      pollfd listener{.fd = context_.listener, .events = POLLIN, .revents = 0};
      ::poll(&listener, 1, 100);
    } else if (g_child.retiring == 0 && g_child.stopping == 0 && errno != EINTR &&
               errno != ECONNABORTED && errno != EPROTO && errno != EPERM) {
      ::_exit(kExitSick);
    }
  }
  enter(State::stopping);
  ::_exit(kExitOrdered);
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

void Child::ring() const {
  const std::uint64_t one = 1;
  (void)!::write(context_.bell, &one, sizeof one);
}

// A supervisor that rests wants to know of the next child that turns from idle to busy or back. It
// announces its rest and then looks once more; the child makes its turn and then looks for the
// announcement: with a full fence on both sides, one of the two sees the other.
void Child::ring_if_awaited() const {
  auto& rests = scoreboard_.header().supervisor_rests;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (rests.load(std::memory_order_relaxed) != 0 && rests.exchange(0) != 0) ring();
}

// One connection, from its greeting to its end; closing it is the caller's.
void Child::serve() {
  slot_.connections.fetch_add(1, std::memory_order_relaxed);
  enter(State::reading);
  ring_if_awaited();
  start_ = end_ = 0;
  receive_timeout_ = 0;
  // Had the order come before the connection was known, its handler would not have shut it.
  if (g_child.stopping != 0) {
    refuse(Refusal::shutting_down);
    return;
  }
  if (is_one_too_many()) {
    peer_.store(0, std::memory_order_relaxed);
    refuse(Refusal::busy);
    return;
  }
  if (!send_template(service_.greeting, {.pid = pid_view_, .user = {}, .message = {}, .n = {}}))
    return;
  for (;;) {
    switch (next_line()) {
      case Got::line:
        if (!answer(line_, true)) return;
        break;
      case Got::last_line:
        answer(line_, false);
        return;
      case Got::too_long:
        refuse(Refusal::too_long);
        return;
      case Got::timeout:
        refuse(Refusal::timeout);
        return;
      case Got::stopped:
        if (end_ > start_ || has_unread())
          refuse(Refusal::shutting_down);
        else
          close_after_last_word(service_.linger_timeout);
        return;
      case Got::end:
      case Got::lost:
        return;
    }
    enter(State::reading);
  }
}

// Sets line_ to the next line, without its newline. The idle time-out runs until the first byte of
// a line is there, the time-out for reading from then until its last, however they drip in.
Child::Got Child::next_line() {
  std::optional<Nanoseconds> deadline;
  for (;;) {
    if (g_child.stopping != 0) return Got::stopped;
    const std::size_t held = end_ - start_;
    const char* const start = input_ + start_;
    if (const void* newline = held > 0 ? std::memchr(start, '\n', held) : nullptr) {
      line_ = {start, static_cast<std::size_t>(static_cast<const char*>(newline) - start)};
      start_ += line_.size() + 1;
      return line_.size() < service_.max_line ? Got::line : Got::too_long;
    }
    if (held >= service_.max_line) return Got::too_long;
    if (start_ > 0) {
      std::memmove(input_, start, held);
      start_ = 0;
      end_ = held;
    }
    if (held == 0) {
      wait_for_bytes(service_.idle_timeout);
    } else if (service_.read_timeout > 0) {
      const Nanoseconds now = monotonic_now();
      if (!deadline) deadline = now + service_.read_timeout;
      if (now >= *deadline) return Got::timeout;
      wait_for_bytes(*deadline - now);
    } else {
      wait_for_bytes(0);
    }
    const ssize_t got = ::recv(g_child.connection, input_ + end_, input_bytes(service_) - end_, 0);
    if (got > 0) {
      end_ += static_cast<std::size_t>(got);
    } else if (got == 0) {
      if (g_child.stopping != 0) return Got::stopped;  // our own end of file completes no line
      if (held == 0) return Got::end;
      line_ = {input_, held};
      start_ = end_;
      return Got::last_line;
    } else if (errno == EAGAIN) {
      return Got::timeout;
    } else if (errno != EINTR) {
      return Got::lost;
    }
  }
}

// Whether the kernel holds bytes that have not been read.
bool Child::has_unread() const {
  char byte = 0;
  return ::recv(g_child.connection, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
}

// True: answered, and the connection may be kept.
bool Child::answer(std::string_view line, bool ended) {
  const std::optional<Request> request = parse_request(line, ended);
  if (!request) return refuse(Refusal::protocol);
  if (!scoreboard_.users().contains(request->user)) {
    log().record().text("authorization error: user ").quoted(request->user).text(" on ");
    note(log_.number(pid_).commit());
    return refuse(Refusal::unauthorized);
  }

  g_child.in_request = 1;
  bool kept = false;
  if (!record_received(*request)) {
    refuse(Refusal::unavailable);
  } else {
    enter(State::working);
    work(*request);
    enter(State::replying);
    const std::uint64_t total = slot_.total.load(std::memory_order_relaxed) + 1;
    if (!record_completed(*request, total - total_at_birth_)) {
      refuse(Refusal::unavailable);
    } else {
      // The order that the ledger rests on: completed, counted, replied.
      slot_.total.store(total, std::memory_order_release);
      kept = send_template(
          service_.reply,
          {.pid = pid_view_, .user = request->user, .message = request->message, .n = {}});
    }
  }
  g_child.in_request = 0;
  return kept;
}

bool Child::record_received(const Request& request) {
  log().record().text("server ").number(pid_).text(" recvd message ").quoted(request.message);
  return note(log_.text(" from user ").text(request.user).commit());
}

bool Child::record_completed(const Request& request, std::uint64_t count) {
  log().record().text("completed req ").quoted(request.message).text(" on ").number(pid_);
  return note(log_.text(" total reqs ").number(static_cast<std::int64_t>(count)).commit());
}

// What became of a record, after commit(): the first that fails, and the first that does not, is
// told to the supervisor.
bool Child::note(bool written) {
  auto& error = scoreboard_.header().log_error;
  if (written != (error.load(std::memory_order_relaxed) == 0)) {
    error.store(written ? 0 : static_cast<std::uint32_t>(errno), std::memory_order_relaxed);
    ring();
  }
  return written;
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
  g_child.in_work = 1;
  set_alarm(service_.work_timeout);
  work();
  g_child.in_work = 0;
  set_alarm(0);
}

void Child::give_up_work() {
  const Nanoseconds took = monotonic_now() - work_began_;
  log().record().text("work timeout: req ").quoted(message_).text(" on ").number(pid_);
  log_.text(" after ").number(took / kMillisecond).text(" ms").commit();
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
bool Child::refuse(Refusal refusal) {
  const auto index = static_cast<std::size_t>(refusal);
  slot_.refused.at(index).fetch_add(1, std::memory_order_relaxed);
  // An unknown user has a record of its own, with the name; of an unavailable log there is none.
  if (refusal != Refusal::unauthorized && refusal != Refusal::unavailable) record_refusal(refusal);
  if (!send_all(service_.refusals.at(index))) return false;
  // Who holds too much already gets little of a child's time to read that.
  constexpr Nanoseconds kForTheBusy = 20 * kMillisecond;
  close_after_last_word(refusal == Refusal::busy ? std::min(kForTheBusy, service_.linger_timeout)
                                                 : service_.linger_timeout);
  return false;
}

void Child::record_refusal(Refusal refusal) {
  log().record().text("protocol error: ").text(name_of(refusal)).text(" on ").number(pid_);
  note(log_.commit());
}

// A socket that is closed with unread bytes in it is reset, and the reset may destroy the last
// words before the client reads them. So: end our side, then read until the client ends its own,
// or has had long enough.
void Child::close_after_last_word(Nanoseconds patience) {
  ::shutdown(g_child.connection, SHUT_WR);
  const Nanoseconds deadline = monotonic_now() + patience;
  for (Nanoseconds now = monotonic_now(); now < deadline; now = monotonic_now()) {
    if (g_child.stopping == 0) {
      wait_for_bytes(deadline - now);
      const ssize_t got = ::recv(g_child.connection, input_, input_bytes(service_), 0);
      if (got == 0 && g_child.stopping == 0) return;
      if (got < 0 && errno != EINTR) return;
    } else {
      // Our own reading side is closed and tells nothing; what the client has not acknowledged
      // is still in the send queue.
      int unsent = 0;
      if (::ioctl(g_child.connection, SIOCOUTQ, &unsent) != 0 || unsent == 0) return;
      ::usleep(500);
    }
  }
}

// Looks again afterwards: a signal in between may have brought a newer one, which this one
// replaced.
void Child::follow_log() {
  while (scoreboard_.header().log_generation.load(std::memory_order_acquire) != log_generation_) {
    const auto offered = peek_log(context_.handoff);
    if (!offered || offered->generation == log_generation_) return;
    ::dup3(offered->fd.get(), context_.log, O_CLOEXEC);
    log_generation_ = offered->generation;
    slot_.log_generation.store(log_generation_, std::memory_order_release);
  }
}

bool Child::send_template(const Template& text, const Template::Values& values) {
  const char* const end = text.render(values, output_.data());
  return send_all({output_.data(), static_cast<std::size_t>(end - output_.data())});
}

// False: the client is gone, or reads too slowly.
bool Child::send_all(std::string_view bytes) {
  std::optional<Nanoseconds> deadline;  // asked for only when the first send() did not do
  while (!bytes.empty()) {
    const ssize_t sent = ::send(g_child.connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(bytes.size())) break;
    if (sent < 0 && errno != EINTR) return false;
    if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
    if (service_.write_timeout > 0) {
      const Nanoseconds now = monotonic_now();
      if (!deadline) deadline = now + service_.write_timeout;
      if (now >= *deadline) return false;
      set_send_timeout(g_child.connection, *deadline - now);
    }
  }
  if (deadline) set_send_timeout(g_child.connection, service_.write_timeout);
  return true;
}

// Sets the time-out of the next recv(), by a system call only where it changes.
void Child::wait_for_bytes(Nanoseconds timeout) {
  if (timeout == receive_timeout_) return;
  set_receive_timeout(g_child.connection, timeout);
  receive_timeout_ = timeout;
}

// Not left to the loop: a child between its look at the log and accept() would keep the old one.
Child* g_self = nullptr;

void on_wake(int /*signal*/) {
  const int saved = errno;
  g_self->follow_log();
  errno = saved;
}

void on_alarm(int /*signal*/) {
  if (g_child.in_work != 0) g_self->give_up_work();
}

// The kernel ends the child with the supervisor. A death before that was asked for is seen by the
// changed parent.
void follow_supervisor(pid_t supervisor) {
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (::getppid() != supervisor) ::_exit(kExitOrdered);
}

}  // namespace

std::size_t child_memory_bytes(const Service& service) {
  return input_bytes(service) + output_bytes(service);
}

void run_child(const ChildContext& context, Slot& slot) {
  g_child.context = &context;
  g_child.connection = -1;
  handle(SIGTERM, on_retire);
  handle(SIGUSR2, on_stop);
  handle(SIGQUIT, on_quit);
  handle(SIGUSR1, on_wake);
  handle(SIGALRM, on_alarm);
  for (const int ignored : {SIGHUP, SIGINT, SIGPIPE, SIGXFSZ}) handle(ignored, SIG_IGN);
  handle(SIGCHLD, SIG_DFL);
  follow_supervisor(context.supervisor);
  ::prctl(PR_SET_NAME, "kilofork-child");
  Child child(context, slot);
  g_self = &child;
  if (!lock_down_child(context.segment_path)) {
    constexpr std::string_view kWhy =
        "kilofork: a child cannot lock itself down: no seccomp here\n";
    (void)!::write(STDERR_FILENO, kWhy.data(), kWhy.size());
    ::_exit(kExitSick);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  child.run();
}

}  // namespace kilofork
