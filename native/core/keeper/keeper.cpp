#include "keeper/keeper.hpp"

#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "keeper/batch.hpp"
#include "keeper/connections.hpp"
#include "keeper/handover.hpp"
#include "net/endpoint.hpp"
#include "process/fd_passing.hpp"
#include "process/lockdown.hpp"
#include "process/signals.hpp"
#include "process/wakeup.hpp"

namespace kilofork {

namespace {

// A child that begins no other connection of its batch within this time loses the rest of it. Long
// against the time for which a busy machine keeps a child from running: what is taken back is
// passed on for nothing then.
constexpr Nanoseconds kBegunWithin = 100 * kMillisecond;
// A child that is busy for longer counts no more among those that are active.
constexpr Nanoseconds kActiveFor = 5 * kMillisecond;
// Before the next accept(2), after an error that may last.
constexpr Nanoseconds kPause = 100 * kMillisecond;
// Descriptors that are no connections, and no sockets of children.
constexpr std::size_t kOwnDescriptors = 64;
// In one turn of the loop.
constexpr int kAcceptedAtATime = 64;
constexpr std::size_t kEventsAtATime = 256;
constexpr std::size_t kReadAtATime = std::size_t{1} << 20;  // into nothing

volatile sig_atomic_t g_stop_ordered = 0;

void on_stop(int /*signal*/) {
  g_stop_ordered = 1;
}
void on_quit(int /*signal*/) {
  ::_exit(0);
}

void set_up_signals() {
  handle_signal(SIGUSR2, on_stop);
  handle_signal(SIGTERM, on_quit);
  handle_signal(SIGQUIT, on_quit);
  for (const int ignored : {SIGHUP, SIGINT, SIGPIPE, SIGUSR1}) handle_signal(ignored, SIG_IGN);
  handle_signal(SIGCHLD, SIG_DFL);
}

// What an event is about: epoll_data of a connection is its index, of a child its slot.
enum class Source : std::uint32_t { connection, child, listener, control };

struct KeptChild {
  enum class State : std::uint8_t {
    none,
    asked,  // is to report; it may be in the middle of another keeper's batch
    idle,
    busy,
  };
  int fd = -1;
  State state = State::none;
  std::uint32_t ticket = 0;  // of its batch, or of the empty batch that asks
  std::uint32_t count = 0;
  std::uint32_t settled = 0;  // bits: entries that were reported, or whose connection is not here
  std::uint32_t begun = 0;    // entries, when it was checked last
  Nanoseconds sent_at = 0;
  Nanoseconds checked_at = 0;
  std::array<std::uint32_t, kMostInBatch> entries{};
};

std::size_t count_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

class Keeper {
 public:
  explicit Keeper(const KeeperContext& context);
  [[noreturn]] void run();

 private:
  using State = KeptConnection::State;
  using Limit = KeptConnection::Limit;

  [[nodiscard]] int patience(Nanoseconds now) const;
  void handle(const epoll_event& event);
  void publish();

  void accept_some();
  void accept_later(int error);
  void watch_listener(bool watched);
  void greet(int fd, const Connections::Address& address);

  void news_of_connection(std::uint32_t index, std::uint32_t events);
  void wait_for_request(std::uint32_t index);
  void send_refusal(std::uint32_t index, Refusal refusal);
  void refuse(std::uint32_t index, Refusal refusal);
  void linger(std::uint32_t index);
  void leave(std::uint32_t index);
  void read_into_nothing(std::uint32_t index);
  void end(std::uint32_t index);
  void end_late();

  void receive_children();
  void add_child(std::uint32_t slot, int fd);
  void ask(std::uint32_t slot);
  void news_of_child(std::uint32_t slot);
  void take_report(std::uint32_t slot, const Report& report, std::span<const char> held);
  void settle(std::uint32_t index, const Report& report, std::span<const char> held);
  void end_batch(std::uint32_t slot, bool child_lives);
  void take_back(std::uint32_t slot);
  void take_back_from_slow();
  void remove_child(std::uint32_t slot);
  void dispatch();
  bool has_enough_active();
  bool hand_out(std::uint32_t slot);

  [[noreturn]] void hand_over_to(int successor);
  void take_over(int predecessor);
  void take_over_child(const HandedChild& handed);
  void take_over_connection(const HandedConnection& handed, std::span<const char> held);
  void stop();

  static constexpr std::uint32_t kEventsOfConnection = EPOLLIN | EPOLLRDHUP | EPOLLET;
  bool watch_connection(std::uint32_t index) {
    return watch(connections_[index].fd, kEventsOfConnection, Source::connection, index);
  }
  // False if the kernel has no room.
  bool watch(int fd, std::uint32_t events, Source source, std::uint32_t which,
             int operation = EPOLL_CTL_ADD) const;
  BatchWord word(std::uint32_t slot) const {
    return BatchWord(context_.scoreboard.slots()[slot].batch);
  }

  const KeeperContext& context_;
  const KeeperService& service_;
  KeeperState& published_;
  const std::string greeting_;
  Connections connections_;
  std::vector<KeptChild> children_;  // by slot
  std::vector<std::uint32_t> idle_;  // slots; the one that was idle last is at the end
  std::vector<std::uint32_t> busy_;  // slots, in the order in which they got their batches
  std::vector<char> report_;
  const std::size_t processors_ = count_processors();
  int epoll_;
  std::uint32_t last_ticket_;
  int errno_of_send_ = 0;
  std::uint32_t accept_error_ = 0;
  Nanoseconds accept_again_at_ = kNever;
  bool is_listening_ = true;
  bool may_accept_ = false;
  Nanoseconds hand_out_again_at_ = kNever;
  bool is_stopping_ = false;
  Nanoseconds now_ = monotonic_now();
};

std::string greeting_of(const Template& greeting) {
  const std::string pid = std::to_string(::getpid());
  const Template::Values values{.pid = pid, .user = {}, .message = {}, .n = {}};
  std::string text(greeting.size(values), '\0');
  greeting.render(values, text.data());
  return text;
}

std::size_t most_connections(std::size_t children) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  constexpr std::size_t kMost = std::size_t{1} << 20;
  const std::size_t all = std::min<std::size_t>(files.rlim_cur, kMost);
  return all > children + kOwnDescriptors ? all - children - kOwnDescriptors : 1;
}

Keeper::Keeper(const KeeperContext& context)
    : context_(context),
      service_(context.service),
      published_(context.scoreboard.header().keeper),
      greeting_(greeting_of(service_.greeting)),
      connections_(most_connections(context.children.size()), service_.longest_held,
                   {0, service_.idle_timeout, service_.read_timeout, service_.linger_timeout}),
      children_(context.children.size()),
      report_(sizeof(Report) + service_.longest_held + 1),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      last_ticket_(static_cast<std::uint32_t>(monotonic_now())) {
  if (epoll_ < 0) fail("epoll_create1");
  idle_.reserve(children_.size());
  busy_.reserve(children_.size());
  watch(context_.listener, EPOLLIN, Source::listener, 0);
  watch(context_.control, EPOLLIN, Source::control, 0);
  for (std::uint32_t slot = 0; slot < children_.size(); slot++)
    if (context.children[slot] >= 0) add_child(slot, context.children[slot]);
  if (context.predecessor >= 0) take_over(context.predecessor);
  for (std::uint32_t slot = 0; slot < children_.size(); slot++)
    if (children_[slot].state == KeptChild::State::asked) ask(slot);
}

// ---- the loop -----------------------------------------------------------------------------------

void Keeper::run() {
  std::array<epoll_event, kEventsAtATime> events{};
  sigset_t none;
  sigemptyset(&none);
  while (!is_stopping_ || connections_.count() > 0) {
    publish();
    const int count = ::epoll_pwait(epoll_, events.data(), static_cast<int>(events.size()),
                                    patience(monotonic_now()), &none);
    now_ = monotonic_now();
    for (const epoll_event& event :
         std::span(events).first(static_cast<std::size_t>(std::max(count, 0))))
      handle(event);
    if (g_stop_ordered != 0 && !is_stopping_) stop();
    if (std::exchange(may_accept_, false)) accept_some();
    if (now_ >= accept_again_at_) watch_listener(true);
    end_late();
    take_back_from_slow();
    dispatch();
  }
  publish();
  ::_exit(0);
}

// For epoll_pwait(2): milliseconds, -1 for ever.
int Keeper::patience(Nanoseconds now) const {
  Nanoseconds deadline =
      std::min({connections_.next_deadline(), accept_again_at_, hand_out_again_at_});
  if (!busy_.empty() && service_.most_in_batch > 1)
    deadline = std::min(deadline, children_[busy_.front()].checked_at + kBegunWithin);
  if (deadline == kNever) return -1;
  return static_cast<int>(std::max<Nanoseconds>(deadline - now + kMillisecond - 1, 0) /
                          kMillisecond);
}

void Keeper::handle(const epoll_event& event) {
  const auto which = static_cast<std::uint32_t>(event.data.u64);
  switch (static_cast<Source>(event.data.u64 >> 32)) {
    case Source::connection:
      return news_of_connection(which, event.events);
    case Source::child:
      return news_of_child(which);
    case Source::listener:
      may_accept_ = true;  // after the other events, which may be about an index that becomes free
      return;
    case Source::control:
      return receive_children();
  }
}

void Keeper::publish() {
  published_.connections.store(static_cast<std::uint32_t>(connections_.count()),
                               std::memory_order_relaxed);
  published_.ready.store(static_cast<std::uint32_t>(connections_.ready()),
                         std::memory_order_relaxed);
  // As Child::wake_supervisor_if_parked(): a parked supervisor does not know that all are busy.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const auto& parked = context_.scoreboard.header().supervisor_parked;
  if (connections_.ready() > 0 && parked.load(std::memory_order_relaxed) != 0)
    wake_up(context_.wakeup);
}

bool Keeper::watch(int fd, std::uint32_t events, Source source, std::uint32_t which,
                   int operation) const {
  epoll_event event{.events = events, .data = {}};
  event.data.u64 = std::uint64_t{static_cast<std::uint32_t>(source)} << 32 | which;
  return ::epoll_ctl(epoll_, operation, fd, &event) == 0;
}

// ---- accept -------------------------------------------------------------------------------------

void Keeper::accept_some() {
  if (is_stopping_) return;
  for (int i = 0; i < kAcceptedAtATime; i++) {
    if (connections_.is_full()) return accept_later(EMFILE);
    Connections::Address address{};
    int fd = -1;
    if (service_.max_per_address == 0) {
      fd = ::accept4(context_.listener, nullptr, nullptr, SOCK_CLOEXEC);
    } else {
      Endpoint peer;
      fd = Endpoint::accept(context_.listener, peer);
      address = peer.address_words();
    }
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return accept_later(errno);
    if (accept_error_ != 0) accept_later(0);
    greet(fd, address);
  }
}

// After an error: tries again later, and tells the supervisor the first error, and that there is
// none any more (0).
void Keeper::accept_later(int error) {
  if (error != 0) watch_listener(false);
  const bool was_told = (accept_error_ != 0) == (error != 0);
  accept_error_ = static_cast<std::uint32_t>(error);
  if (was_told) return;
  context_.scoreboard.header().accept_error.store(accept_error_, std::memory_order_relaxed);
  wake_up(context_.wakeup);
}

void Keeper::watch_listener(bool watched) {
  accept_again_at_ = watched ? kNever : now_ + kPause;
  if (watched == is_listening_) return;
  is_listening_ = watched;
  if (watched)
    watch(context_.listener, EPOLLIN, Source::listener, 0);
  else
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, context_.listener, nullptr);
}

void Keeper::greet(int fd, const Connections::Address& address) {
  published_.accepted.fetch_add(1, std::memory_order_relaxed);
  const std::uint32_t index = connections_.add(fd, address);
  if (service_.max_per_address > 0 && connections_.count_of(address) > service_.max_per_address) {
    // It must not occupy a descriptor. The client can still read the line, unless its system drops
    // what it has received when the connection is reset.
    send_refusal(index, Refusal::busy);
    (void)::recv(fd, nullptr, kReadAtATime, MSG_DONTWAIT | MSG_TRUNC);
    return end(index);
  }
  const ssize_t sent = ::send(fd, greeting_.data(), greeting_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(greeting_.size())) return end(index);
  if (!watch_connection(index)) return end(index);
  connections_.begin_limit(index, Limit::first_byte, now_);
}

// ---- connections --------------------------------------------------------------------------------

bool has_unread_input(int fd) {
  int bytes = 0;
  return ::ioctl(fd, SIOCINQ, &bytes) == 0 && bytes > 0;
}

void Keeper::news_of_connection(std::uint32_t index, std::uint32_t events) {
  KeptConnection& connection = connections_[index];
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) connection.has_ended = true;
  switch (connection.state) {
    case State::waiting:
      connection.has_news = true;
      return wait_for_request(index);
    case State::busy:
      connection.has_news = true;
      return;
    case State::leaving:
      return read_into_nothing(index);
    case State::ready:
    case State::free:
      return;
  }
}

// Makes it ready, ends it, or lets it wait, as its news say.
void Keeper::wait_for_request(std::uint32_t index) {
  KeptConnection& connection = connections_[index];
  connection.state = State::waiting;
  if (is_stopping_) return leave(index);
  if (connection.is_late) return refuse(index, Refusal::timeout);
  const bool may_be_over = connection.has_ended && connection.held == 0;
  if (may_be_over && !has_unread_input(connection.fd)) return end(index);
  if (!connection.has_news && !connection.has_ended) return;
  connection.has_news = false;
  if (connection.limit == Limit::first_byte) connections_.end_limit(index);
  connections_.make_ready(index);
}

void Keeper::send_refusal(std::uint32_t index, Refusal refusal) {
  const auto which = static_cast<std::size_t>(refusal);
  const std::string& line = service_.refusals.at(which);
  published_.refused.at(which).fetch_add(1, std::memory_order_relaxed);
  (void)::send(connections_[index].fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Keeper::refuse(std::uint32_t index, Refusal refusal) {
  send_refusal(index, refusal);
  ::shutdown(connections_[index].fd, SHUT_WR);
  linger(index);
}

// At a stop: a request that has not begun is refused; without one, the client gets the end of file.
void Keeper::leave(std::uint32_t index) {
  const KeptConnection& connection = connections_[index];
  if (connection.held > 0 || has_unread_input(connection.fd))
    return refuse(index, Refusal::shutting_down);
  ::shutdown(connection.fd, SHUT_WR);
  linger(index);
}

// The sending side has ended: gives the client time to read what was sent.
void Keeper::linger(std::uint32_t index) {
  connections_[index].state = State::leaving;
  connections_.begin_limit(index, Limit::leaving, now_);
  read_into_nothing(index);
}

// close(2) resets a connection that has unread bytes, and the reset may destroy the last text
// before the client reads it. So what comes is dropped until the client ends its side. A client
// that goes on sending keeps nobody waiting: its next event comes after those of others.
void Keeper::read_into_nothing(std::uint32_t index) {
  constexpr int kTimes = 8;
  const int fd = connections_[index].fd;
  for (int i = 0; i < kTimes; i++) {
    const ssize_t got = ::recv(fd, nullptr, kReadAtATime, MSG_DONTWAIT | MSG_TRUNC);
    if (got > 0) continue;
    if (got == 0 || errno != EAGAIN) end(index);
    return;
  }
  watch(fd, kEventsOfConnection, Source::connection, index, EPOLL_CTL_MOD);
}

void Keeper::end(std::uint32_t index) {
  const int fd = connections_[index].fd;
  connections_.remove(index);
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  ::shutdown(fd, SHUT_RDWR);
  ::close(fd);
}

// Those whose time has passed.
void Keeper::end_late() {
  while (const auto index = connections_.take_late(now_)) {
    KeptConnection& connection = connections_[*index];
    switch (connection.state) {
      case State::waiting:
        refuse(*index, Refusal::timeout);
        break;
      case State::leaving:
        end(*index);
        break;
      default:
        connection.is_late = true;  // its line may still be completed, by what has come
    }
  }
}

// ---- children -----------------------------------------------------------------------------------

void Keeper::receive_children() {
  NewChildren message{};
  const iovec part{.iov_base = &message, .iov_len = sizeof message};
  std::array<int, kMostPassed> fds{};
  std::size_t count = 0;
  const ssize_t got = receive_with_fds(context_.control, {&part, 1}, fds, count, MSG_DONTWAIT);
  if (got == 0) ::_exit(0);  // the supervisor is gone
  if (got == sizeof message && message.count == 0 && count == 1) hand_over_to(fds[0]);
  if (got != sizeof message) return;
  for (std::size_t i = 0; i < count; i++) {
    if (i < message.count && message.slots.at(i) < children_.size())
      add_child(message.slots.at(i), fds.at(i));
    else
      ::close(fds.at(i));
  }
}

// The child tells when it is ready.
void Keeper::add_child(std::uint32_t slot, int fd) {
  remove_child(slot);
  children_[slot] = {.fd = fd, .state = KeptChild::State::asked};
  watch(fd, EPOLLIN, Source::child, slot);
}

// A child whose state is not known: it answers when it waits for a batch.
void Keeper::ask(std::uint32_t slot) {
  KeptChild& child = children_[slot];
  const Batch batch{.ticket = ++last_ticket_, .count = 0, .held = {}};
  child.ticket = batch.ticket;
  (void)::send(child.fd, &batch, sizeof batch, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Keeper::news_of_child(std::uint32_t slot) {
  const int fd = children_[slot].fd;
  if (fd < 0) return;
  const ssize_t got = ::recv(fd, report_.data(), report_.size(), MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return remove_child(slot);
  if (got < static_cast<ssize_t>(sizeof(Report))) return;
  Report report{};
  std::copy_n(report_.data(), sizeof report, reinterpret_cast<char*>(&report));
  take_report(
      slot, report,
      std::span<const char>(report_).first(static_cast<std::size_t>(got)).subspan(sizeof report));
}

// A report is not trusted: a child may have been taken over. It can spoil the connections of its
// batch only.
void Keeper::take_report(std::uint32_t slot, const Report& report, std::span<const char> held) {
  KeptChild& child = children_[slot];
  if (report.ticket != child.ticket || static_cast<std::uint8_t>(report.fate) >= kFates) return;
  if (child.state == KeptChild::State::busy && report.entry < child.count &&
      (child.settled >> report.entry & 1) == 0) {
    child.settled |= 1U << report.entry;
    settle(child.entries.at(report.entry), report, held);
  }
  if (report.done == 0 || child.state == KeptChild::State::idle) return;
  if (child.state == KeptChild::State::busy) end_batch(slot, true);
  if (child.state == KeptChild::State::asked)
    word(slot).set(child.ticket, 0);  // an earlier child's
  child.state = KeptChild::State::idle;
  idle_.push_back(slot);
}

// A connection comes back from a child.
void Keeper::settle(std::uint32_t index, const Report& report, std::span<const char> held) {
  KeptConnection& connection = connections_[index];
  switch (report.fate) {
    case Fate::kept:
    case Fate::more:
      if (!connections_.hold(index, held)) return end(index);
      if (held.empty() || report.new_line != 0) {
        connection.is_late = false;
        connections_.begin_limit(index, held.empty() ? Limit::first_byte : Limit::line, now_);
      } else if (connection.limit != Limit::line && !connection.is_late) {
        connections_.begin_limit(index, Limit::line, now_);
      }
      if (report.fate == Fate::more) connection.has_news = true;
      return wait_for_request(index);
    case Fate::leaving:
      return linger(index);
    case Fate::ended:
      return end(index);
  }
}

// What was not reported: was kept if another one was begun after it, or if the child is done with
// the batch; else it ends with the child.
void Keeper::end_batch(std::uint32_t slot, bool child_lives) {
  KeptChild& child = children_[slot];
  std::erase(busy_, slot);
  take_back(slot);
  constexpr Report kKept{.ticket = 0, .entry = 0, .fate = Fate::kept, .new_line = 1, .done = 0};
  for (std::size_t i = 0; i < child.count; i++) {
    if ((child.settled >> i & 1) != 0) continue;
    if (child_lives || i + 1 < child.count)
      settle(child.entries.at(i), kKept, {});
    else
      end(child.entries.at(i));
  }
  child.count = 0;
}

// Takes back the connections of its batch that the child has not begun; others get them.
void Keeper::take_back(std::uint32_t slot) {
  KeptChild& child = children_[slot];
  const std::size_t begun = word(slot).take_back();
  for (; child.count > begun; child.count--) {
    if ((child.settled >> (child.count - 1) & 1) != 0) continue;
    const std::uint32_t index = child.entries.at(child.count - 1);
    if (is_stopping_)
      leave(index);
    else
      connections_.make_ready_again(index);
  }
}

void Keeper::take_back_from_slow() {
  if (service_.most_in_batch == 1) return;
  for (const std::uint32_t slot : busy_) {
    KeptChild& child = children_[slot];
    if (now_ < child.checked_at + kBegunWithin) return;
    child.checked_at = now_;
    const std::uint32_t begun = word(slot).get().next;
    if (std::exchange(child.begun, begun) == begun) take_back(slot);
  }
}

void Keeper::remove_child(std::uint32_t slot) {
  KeptChild& child = children_[slot];
  if (child.fd < 0) return;
  if (child.state == KeptChild::State::busy) end_batch(slot, false);
  std::erase(idle_, slot);
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, child.fd, nullptr);
  ::close(child.fd);
  child = {};
}

// ---- batches ------------------------------------------------------------------------------------

// Hands out what is ready, to the children that were idle last: the memory of few children stays
// in the caches of the processors.
void Keeper::dispatch() {
  constexpr Nanoseconds kTriedEvery = 10 * kMillisecond;
  hand_out_again_at_ = kNever;
  while (connections_.ready() > 0 && !idle_.empty()) {
    if (has_enough_active()) return;
    const std::uint32_t slot = idle_.back();
    idle_.pop_back();
    if (hand_out(slot)) continue;
    take_back(slot);
    if (errno_of_send_ == EPIPE || errno_of_send_ == ECONNRESET) {
      children_[slot].state = KeptChild::State::asked;  // it leaves: the end of its socket follows
      continue;
    }
    // The kernel has no room for what is under way.
    children_[slot].state = KeptChild::State::idle;
    idle_.push_back(slot);
    hand_out_again_at_ = now_ + kTriedEvery;
    return;
  }
}

// Whether so many children are active that another one would only take processors from them; then
// what becomes ready makes the next batch larger. One that takes longer may wait for something, so
// it does not count.
bool Keeper::has_enough_active() {
  if (service_.most_in_batch == 1 || busy_.size() < processors_) return false;
  const Nanoseconds since = children_[busy_[busy_.size() - processors_]].sent_at;
  if (now_ >= since + kActiveFor) return false;
  hand_out_again_at_ = since + kActiveFor;
  return true;
}

bool Keeper::hand_out(std::uint32_t slot) {
  KeptChild& child = children_[slot];
  Batch batch{.ticket = ++last_ticket_, .count = 0, .held = {}};
  std::array<int, kMostInBatch> fds{};
  std::array<iovec, 1 + kMostInBatch> parts{};
  parts[0] = {.iov_base = &batch, .iov_len = sizeof batch};
  std::size_t part_count = 1;
  std::size_t held_bytes = 0;
  while (batch.count < service_.most_in_batch && connections_.ready() > 0) {
    const std::uint32_t index = connections_.first_ready();
    const std::span<const char> held = connections_.held(index);
    if (held_bytes + held.size() > most_held_in_batch(service_.longest_held)) break;
    held_bytes += held.size();
    connections_.take_ready();
    connections_[index].state = State::busy;
    connections_[index].slot = slot;
    connections_[index].entry = batch.count;
    child.entries.at(batch.count) = index;
    fds.at(batch.count) = connections_[index].fd;
    batch.held.at(batch.count) = static_cast<std::uint16_t>(held.size());
    if (!held.empty())
      parts.at(part_count++) = {.iov_base = const_cast<char*>(held.data()), .iov_len = held.size()};
    batch.count++;
  }
  word(slot).set(batch.ticket, batch.count);
  child.ticket = batch.ticket;
  child.count = batch.count;
  child.settled = 0;
  child.begun = 0;
  child.sent_at = child.checked_at = now_;
  child.state = KeptChild::State::busy;
  const ssize_t sent = send_with_fds(child.fd, std::span(parts).first(part_count),
                                     std::span(fds).first(batch.count), MSG_DONTWAIT);
  errno_of_send_ = errno;
  if (sent >= 0) busy_.push_back(slot);
  return sent >= 0;
}

// ---- the next keeper ----------------------------------------------------------------------------

// In the order of their deadlines, then of the queue. What children report meanwhile waits in their
// sockets for the next keeper.
void Keeper::hand_over_to(int successor) {
  for (std::uint32_t slot = 0; slot < children_.size(); slot++) {
    const KeptChild& child = children_[slot];
    if (child.state != KeptChild::State::busy && child.state != KeptChild::State::idle) continue;
    hand_over(successor, {.slot = slot,
                          .is_idle = child.state == KeptChild::State::idle,
                          .ticket = child.ticket,
                          .count = child.count});
  }
  const auto pass = [&](std::uint32_t index) {
    const KeptConnection& connection = connections_[index];
    hand_over(successor,
              {.fd = connection.fd,
               .state = connection.state,
               .limit = connection.limit,
               .has_news = connection.has_news,
               .has_ended = connection.has_ended,
               .is_late = connection.is_late,
               .held = connection.held,
               .slot = connection.slot,
               .entry = connection.entry,
               .deadline = connection.deadline,
               .address = connections_.address(index)},
              connections_.held(index));
  };
  connections_.for_each_with_limit(pass);
  while (connections_.ready() > 0) {
    const std::uint32_t index = connections_.take_ready();
    if (connections_[index].limit == Limit::none) pass(index);
  }
  for (std::uint32_t index = 0; index < connections_.end(); index++) {
    const auto& [state, limit] = std::pair(connections_[index].state, connections_[index].limit);
    if (limit == Limit::none && state != State::free && state != State::ready) pass(index);
  }
  ::_exit(0);
}

void Keeper::take_over(int predecessor) {
  Takeover takeover(predecessor, service_.longest_held);
  while (takeover.receive()) {
    if (takeover.child() != nullptr) take_over_child(*takeover.child());
    if (takeover.connection() != nullptr)
      take_over_connection(*takeover.connection(), takeover.held());
  }
  ::close(predecessor);
  for (std::uint32_t slot = 0; slot < children_.size(); slot++)
    if (children_[slot].fd < 0 && children_[slot].state == KeptChild::State::busy) {
      end_batch(slot, false);
      children_[slot] = {};
    }
}

// It may have ended since.
void Keeper::take_over_child(const HandedChild& handed) {
  if (handed.slot >= children_.size()) return;
  if (children_[handed.slot].fd < 0 && handed.is_idle) return;
  KeptChild& child = children_[handed.slot];
  child.state = handed.is_idle ? KeptChild::State::idle : KeptChild::State::busy;
  child.ticket = handed.ticket;
  child.count = handed.count;
  child.settled = UINT32_MAX;  // until its connections come
  child.begun = 0;
  child.sent_at = child.checked_at = now_;
  (handed.is_idle ? idle_ : busy_).push_back(handed.slot);
  last_ticket_ = std::max(last_ticket_, child.ticket);
}

void Keeper::take_over_connection(const HandedConnection& handed, std::span<const char> held) {
  if (connections_.is_full()) {
    ::close(handed.fd);
    return;
  }
  const std::uint32_t index = connections_.add(handed.fd, handed.address);
  KeptConnection& connection = connections_[index];
  connection.has_news = handed.has_news;
  connection.has_ended = handed.has_ended;
  connection.is_late = handed.is_late;
  if (!connections_.hold(index, held)) return end(index);
  if (handed.limit != Limit::none) connections_.resume_limit(index, handed.limit, handed.deadline);
  connection.state = handed.state;
  if (handed.state == State::ready) connections_.make_ready(index);
  if (handed.state == State::busy) {
    connection.slot = handed.slot;
    connection.entry = handed.entry;
    KeptChild* const child = handed.slot < children_.size() ? &children_[handed.slot] : nullptr;
    if (child == nullptr || child->state != KeptChild::State::busy || handed.entry >= kMostInBatch)
      return end(index);
    child->entries.at(handed.entry) = index;
    child->settled &= ~(1U << handed.entry);
  }
  if (!watch_connection(index)) end(index);
}

// ---- the end ------------------------------------------------------------------------------------

void Keeper::stop() {
  is_stopping_ = true;
  watch_listener(false);
  accept_again_at_ = kNever;
  while (connections_.ready() > 0) leave(connections_.take_ready());
  for (const std::uint32_t slot : busy_) take_back(slot);
  for (std::uint32_t index = 0; index < connections_.end(); index++)
    if (connections_[index].state == State::waiting) leave(index);
}

}  // namespace

void run_keeper(const KeeperContext& context) {
  set_up_signals();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when it is stopped; it has nothing to close
  if (::getppid() != context.supervisor) ::_exit(0);
  ::prctl(PR_SET_NAME, "kilofork-keeper");
  Keeper keeper(context);
  if (!lock_down_keeper()) ::_exit(1);
  keeper.run();
}

}  // namespace kilofork
