// The segment: its slots, its name, and who may sweep it. user_table_test.cpp tests the users.
#include "shm/scoreboard.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <optional>

#include "base/error.hpp"
#include "check.hpp"
#include "process/pid_namespace.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

using check::Process;
using check::segment_name;

constexpr std::int64_t kLongestSince = (std::int64_t{1} << 38) - 1;

const Scoreboard::Identity kIdentity{
    .host = "localhost",
    .address = "127.0.0.1",
    .port = 31337,
    .backlog = 4096,
    .bounds = {.start = 5, .min_spare = 6, .max_spare = 7, .max = 1000, .shrink_after = kSecond},
    .log = "/var/log/server.log",
    .release = "1.2.3"};

Scoreboard create(std::uint32_t slots, std::uint32_t users = 4) {
  return Scoreboard::create(segment_name(), slots, users, kIdentity);
}

bool exists(const std::string& name) {
  return ::access(("/dev/shm" + name).c_str(), F_OK) == 0;
}

// Removes the name when a test ends, also if it fails.
struct NameRemoved {
  ~NameRemoved() { Segment::remove(segment_name()); }
};

// The errno value that `step` fails with; 0 if it does not fail.
template <typename Step>
int error_of(Step step) {
  try {
    step();
  } catch (const SystemError& error) {
    return error.code;
  }
  return 0;
}

TEST("a slot's word holds the largest pid, any state and the longest time at once") {
  Slot slot{};
  for (const pid_t pid : {0, 1, 4'194'303}) {
    for (int state = 0; state <= static_cast<int>(State::stopping); state++) {
      for (const std::int64_t since : {std::int64_t{0}, std::int64_t{1}, kLongestSince}) {
        slot.enter(pid, static_cast<State>(state), since);
        const Occupancy occupancy = slot.occupancy();
        CHECK_EQ(occupancy.pid, pid);
        CHECK_EQ(occupancy.state, static_cast<State>(state));
        CHECK_EQ(occupancy.since, since);
      }
    }
  }
}

TEST("a time that is too long does not reach into pid and state") {
  Slot slot{};
  slot.enter(4711, State::idle, kLongestSince + 1);
  CHECK_EQ(slot.occupancy().pid, 4711);
  CHECK_EQ(slot.occupancy().state, State::idle);
  CHECK_EQ(slot.occupancy().since, 0);
}

TEST("a slot of zeroes is vacant") {
  CHECK_EQ(Slot{}.occupancy().state, State::vacant);
  CHECK_EQ(Slot{}.occupancy().pid, 0);
}

TEST("a new segment names its server, is private and allocated, and all its slots are vacant") {
  const NameRemoved removed;
  const Scoreboard board = create(1000, 20);
  const Header& header = board.header();
  CHECK_EQ(header.front, ::getpid());
  CHECK_EQ(header.port, 31337);
  CHECK_EQ(header.slot_count, 1000);
  CHECK_EQ(header.user_capacity, 20);
  CHECK_EQ(std::string_view(header.host.data()), "localhost");
  CHECK_EQ(std::string_view(header.address.data()), "127.0.0.1");
  CHECK(header.created > 0 && header.created_realtime > header.created);
  CHECK_EQ(header.backlog, 4096);
  CHECK_EQ(header.start, 5);
  CHECK_EQ(header.min_spare, 6);
  CHECK_EQ(header.max_spare, 7);
  CHECK_EQ(std::string_view(header.log.data()), "/var/log/server.log");
  CHECK_EQ(std::string_view(header.release.data()), "1.2.3");
  for (const auto& counts : {&header.forked, &header.ended})
    for (const auto& count : *counts) CHECK_EQ(count.load(), 0);
  CHECK_EQ(header.supervisor_parked.load(), 0);
  CHECK_EQ(header.pid_namespace, pid_namespace());
  for (const Answer& answer : header.answers) {
    CHECK_EQ(answer.count.load(), 0);
    CHECK_EQ(answer.text.get().value(), "");
  }
  CHECK_EQ(board.slots().size(), 1000);
  CHECK_EQ(board.total(), 0);
  for (const Slot& slot : board.slots()) CHECK_EQ(slot.occupancy().state, State::vacant);
  struct stat status {};
  CHECK_EQ(::fstat(board.fd(), &status), 0);
  CHECK_EQ(status.st_mode & 0777, 0600);
  CHECK(status.st_blocks * 512 >= status.st_size);
  CHECK((::fcntl(board.fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST("slots share no cache line with each other, nor with the users, and end inside the segment") {
  const NameRemoved removed;
  for (const std::uint32_t users : {0U, 1U, 2U, 3U, 1000U}) {
    const Scoreboard board = create(33, users);
    struct stat status {};
    CHECK_EQ(::fstat(board.fd(), &status), 0);
    const auto* start = reinterpret_cast<const std::byte*>(&board.header());
    const auto* first = reinterpret_cast<const std::byte*>(board.slots().data());
    const auto* end = reinterpret_cast<const std::byte*>(board.slots().data() + 33);
    CHECK_EQ(reinterpret_cast<std::uintptr_t>(first) % 128, 0);
    CHECK_EQ(end - first, 33 * 128);
    CHECK(first >= start + 4096 + UserTable::bytes(users));
    CHECK(end <= start + status.st_size);
    Segment::remove(segment_name());
  }
}

TEST("a text that is too long is cut off") {
  const NameRemoved removed;
  const Scoreboard board = Scoreboard::create(segment_name(), 1, 1,
                                              {.host = std::string(1000, 'h'),
                                               .address = std::string(1000, 'a'),
                                               .port = 1,
                                               .backlog = 1,
                                               .bounds = {},
                                               .log = std::string(1000, 'l'),
                                               .release = std::string(1000, 'r')});
  CHECK_EQ(std::string(board.header().host.data()), std::string(255, 'h'));
  CHECK_EQ(std::string(board.header().address.data()), std::string(63, 'a'));
  CHECK_EQ(std::string(board.header().log.data()), std::string(511, 'l'));
  CHECK_EQ(std::string(board.header().release.data()), std::string(31, 'r'));
  CHECK_EQ(board.header().supervisor.load(), 0);
}

TEST("the total is the sum over all slots, also those that are vacant") {
  const NameRemoved removed;
  const Scoreboard board = create(3);
  board.slots()[0].total = 5;
  board.slots()[1].total = std::uint64_t{1} << 40;
  board.slots()[1].enter(0, State::vacant, 0);
  CHECK_EQ(board.total(), (std::uint64_t{1} << 40) + 5);
}

TEST("the age of a segment is never negative") {
  const NameRemoved removed;
  for (int i = 0; i < 100; i++) {
    const Scoreboard board = create(1);
    CHECK(board.age() >= 0);
    Segment::remove(segment_name());
  }
}

TEST("what one process writes, another process reads") {
  const NameRemoved removed;
  const Scoreboard board = create(2);
  Process writer([] {
    const Scoreboard mine = Scoreboard(Segment::open(segment_name()));
    mine.slots()[1].enter(::getpid(), State::working, 17);
    mine.slots()[1].total += 3;
  });
  const pid_t pid = writer.pid();
  CHECK_EQ(writer.wait(), 0);
  Scoreboard reader = Scoreboard(Segment::copy(segment_name()));
  reader.refresh_slots();
  CHECK_EQ(reader.slots()[1].occupancy().pid, pid);
  CHECK_EQ(reader.slots()[1].occupancy().state, State::working);
  CHECK_EQ(reader.total(), 3);
  CHECK_EQ(board.total(), 3);
}

TEST("a second segment of the same name is refused, and the first is untouched") {
  const NameRemoved removed;
  const Scoreboard board = create(2);
  board.slots()[0].total = 7;
  CHECK_EQ(error_of([] { create(5); }), EEXIST);
  Scoreboard reader = Scoreboard(Segment::copy(segment_name()));
  reader.refresh_slots();
  CHECK_EQ(reader.total(), 7);
}

TEST("a segment that cannot be allocated leaves no name behind") {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit tiny{.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
  CHECK_EQ(::setrlimit(RLIMIT_FSIZE, &tiny), 0);
  CHECK(error_of([] { create(1000); }) != 0);
  CHECK(!exists(segment_name()));
}

TEST("a segment is swept when, and only when, no process holds its lock") {
  const NameRemoved removed;
  {
    const Scoreboard board = create(1);
    CHECK(!Segment::sweep(segment_name()));
    CHECK(exists(segment_name()));
    const Scoreboard reader = Scoreboard(Segment::copy(segment_name()));
    CHECK(!Segment::sweep(segment_name()));
  }
  CHECK(Segment::sweep(segment_name()));
  CHECK(!exists(segment_name()));
  CHECK(!Segment::sweep(segment_name()));
}

TEST("a lock lives on in a child that inherited it, and ends with that child") {
  const NameRemoved removed;
  std::optional<Scoreboard> board = create(1);
  const Process child([] { ::pause(); });
  board.reset();
  CHECK(!Segment::sweep(segment_name()));
  child.signal(SIGKILL);
  CHECK(check::holds_in_time([] { return Segment::sweep(segment_name()); }));
}

TEST("an abandoned segment can be opened, and then it is no longer swept") {
  const NameRemoved removed;
  { create(1).slots()[0].total = 9; }
  const Scoreboard board = Scoreboard(Segment::open(segment_name()));
  CHECK_EQ(board.total(), 9);
  CHECK(!Segment::sweep(segment_name()));
}

TEST("segments that are being created are not swept") {
  const NameRemoved removed;
  const auto sweep = [] {
    for (;;) Segment::sweep(segment_name());
  };
  const Process one(sweep);
  const Process two(sweep);
  for (int i = 0; i < 1000; i++) {
    const Scoreboard board = create(1);
    CHECK(exists(segment_name()));
    Segment::remove(segment_name());
  }
}

TEST("a segment is locked while any process holds its lock, and asking does no harm") {
  const NameRemoved removed;
  std::optional<Scoreboard> board = create(1);
  CHECK(Segment::is_locked(segment_name()));
  const Process child([] { ::pause(); });  // inherits the lock
  board.reset();
  CHECK(Segment::is_locked(segment_name()));
  std::optional<Scoreboard> writer = Scoreboard(Segment::open(segment_name()));
  child.signal(SIGKILL);
  siginfo_t end{};
  CHECK_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &end, WEXITED | WNOWAIT), 0);
  CHECK(Segment::is_locked(segment_name()));
  writer.reset();
  for (int i = 0; i < 3; i++) CHECK(!Segment::is_locked(segment_name()));
  const Scoreboard reader = Scoreboard(Segment::copy(segment_name()));
  CHECK(!Segment::is_locked(segment_name()));  // whoever only reads holds no lock
  CHECK(exists(segment_name()));
  CHECK(Segment::sweep(segment_name()));
}

TEST("a segment that does not exist counts as locked") {
  CHECK(Segment::is_locked(segment_name()));
}

TEST("an abandoned segment is locked again when it is opened for writing") {
  const NameRemoved removed;
  { (void)create(1); }
  CHECK(!Segment::is_locked(segment_name()));
  const Scoreboard board = Scoreboard(Segment::open(segment_name()));
  CHECK(Segment::is_locked(segment_name()));
}

TEST("forks and ends are counted by their causes, apart from each other") {
  const NameRemoved removed;
  Scoreboard board = create(1);
  for (std::size_t i = 0; i < kCauses; i++) {
    for (std::size_t times = 0; times < i; times++) board.count_fork(static_cast<Cause>(i));
    for (std::size_t times = 0; times < 2 * i; times++) board.count_end(static_cast<Cause>(i));
  }
  for (std::size_t i = 0; i < kCauses; i++) {
    CHECK_EQ(board.header().forked.at(i).load(), i);
    CHECK_EQ(board.header().ended.at(i).load(), 2 * i);
  }
}

TEST("removing what is not there is no error, opening it is") {
  Segment::remove(segment_name());
  CHECK_EQ(error_of([] { Scoreboard(Segment::copy(segment_name())); }), ENOENT);
}

TEST("a reader sees what was written when it last read") {
  const NameRemoved removed;
  const Scoreboard board = create(300);
  Scoreboard reader = Scoreboard(Segment::copy(segment_name()));
  board.header().child_epoch = 5;
  board.slots()[0].total = 2;
  board.slots()[299].total = 3;
  CHECK_EQ(reader.header().child_epoch.load(), 0);
  reader.refresh_header();
  CHECK_EQ(reader.header().child_epoch.load(), 5);
  CHECK_EQ(reader.total(), 0);
  reader.refresh_slots();
  CHECK_EQ(reader.total(), 5);
  CHECK_EQ(reader.slots()[299].total.load(), 3);
}

TEST("a segment that shrinks or changes its layout while it is read is an error, and no signal") {
  const NameRemoved removed;
  const Scoreboard board = create(300, 64);
  Scoreboard reader = Scoreboard(Segment::copy(segment_name()));
  reader.refresh_slots();
  Header& header = board.header();
  header.user_capacity = 1'000'000;  // so that the slots would lie behind the end
  CHECK_EQ(error_of([&] { reader.refresh_header(); }), EPROTO);
  // Fewer users and more slots that together take as many bytes.
  header.user_capacity = 0;
  header.slot_count += static_cast<std::uint32_t>(UserTable::bytes(64) / sizeof(Slot)) - 3;
  CHECK_EQ(error_of([&] { reader.refresh_header(); }), EPROTO);
  CHECK_EQ(::ftruncate(board.fd(), 4096), 0);
  CHECK_EQ(error_of([&] { reader.refresh_slots(); }), EPROTO);
  CHECK_EQ(::ftruncate(board.fd(), 0), 0);
  CHECK_EQ(error_of([&] { reader.refresh_header(); }), EPROTO);
}

TEST("what is no regular file is refused at once, whatever one wants to do with it") {
  const NameRemoved removed;
  const std::string path = "/dev/shm" + segment_name();
  CHECK_EQ(::mkfifo(path.c_str(), 0600), 0);
  CHECK_EQ(error_of([] { Segment::copy(segment_name()); }), EPROTO);
  CHECK_EQ(error_of([] { Segment::open(segment_name()); }), EPROTO);
  CHECK(Segment::is_locked(segment_name()));
  CHECK(!Segment::sweep(segment_name()));
  CHECK(exists(segment_name()));
}

TEST("a file that somebody has a lease on makes nobody wait") {
  const NameRemoved removed;
  const Scoreboard board = create(1);
  Segment::remove(segment_name());
  const Fd owner(::open(("/dev/shm" + segment_name()).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  CHECK_EQ(::ftruncate(owner.get(), 8192), 0);
  ::signal(SIGIO, SIG_IGN);
  CHECK_EQ(::fcntl(owner.get(), F_SETLEASE, F_WRLCK), 0);
  CHECK_EQ(error_of([] { Segment::copy(segment_name()); }), EWOULDBLOCK);
  CHECK(!Segment::sweep(segment_name()));
  CHECK_EQ(::fcntl(owner.get(), F_SETLEASE, F_UNLCK), 0);
}

TEST("more slots than a server can have are refused, though the file has their size") {
  const NameRemoved removed;
  // So many slots take whole pages.
  constexpr std::uint32_t kUnit = 4096;
  const auto bytes_with = [](std::uint32_t units) {
    const Scoreboard board = create(units * kUnit);
    Segment::remove(segment_name());
    return ::lseek(board.fd(), 0, SEEK_END);
  };
  const off_t first = bytes_with(1);
  const off_t each = bytes_with(2) - first;
  const Scoreboard board = create(kUnit);
  const auto error_with = [&](std::uint32_t units) {
    board.header().slot_count = units * kUnit;
    CHECK_EQ(::ftruncate(board.fd(), first + (units - 1) * each), 0);
    return error_of([] { Scoreboard(Segment::copy(segment_name())); });
  };
  CHECK_EQ(error_with(Scoreboard::kMostSlots / kUnit), 0);
  CHECK_EQ(error_with(Scoreboard::kMostSlots / kUnit + 1), EPROTO);
  CHECK_EQ(error_with(4'000'000'000 / kUnit), EPROTO);
}

TEST("a segment of another version is refused") {
  const NameRemoved removed;
  const auto refused = [] {
    return error_of([] { Scoreboard(Segment::copy(segment_name())); }) == EPROTO;
  };
  const Scoreboard board = create(2);
  Header& header = board.header();
  CHECK(!refused());
  for (std::uint32_t* field : {&header.version, &header.header_bytes, &header.slot_bytes,
                               &header.slot_count, &header.user_capacity}) {
    *field += 64;
    CHECK(refused());
    *field -= 64;
  }
  header.magic++;
  CHECK(refused());
  header.magic--;
  CHECK(!refused());
  CHECK_EQ(::ftruncate(board.fd(), 4096), 0);
  CHECK(refused());
  CHECK_EQ(::ftruncate(board.fd(), 100), 0);
  CHECK(refused());
}

}  // namespace
}  // namespace kilofork
