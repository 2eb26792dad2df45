// Measures how many log records, or increments in shared memory, several processes make in a
// second.
//
//   rate record PROCESSES EACH FILE   EACH records by each process, through AppendLog
//   rate write PROCESSES EACH FILE    the same bytes by write(2) alone: nothing is built
//   rate count PROCESSES EACH         EACH increments by each process, in a slot of its own
//
// Prints the number a second over all processes, from the common start to the end of the last one.
// It counts what was made afterwards, and fails if some is missing.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "log/append_log.hpp"
#include "shm/scoreboard.hpp"

namespace kilofork {
namespace {

constexpr std::size_t kLongestLine = 1024;

// What a child shares with the parent, and nobody else writes.
struct Place {
  Slot slot;
  std::atomic<std::int64_t> ended;  // monotonic_now()
};

// ---- child ----

// The two records of a request, in turn, as a server's child writes them.
bool write_record(AppendLog& log, std::uint64_t number, pid_t pid) {
  constexpr std::string_view kMessage = "lalala 17";
  if (number % 2 == 0) {
    log.record().text("server ").number(pid).text(" recvd message ").quoted(kMessage);
    return log.text(" from user ").text("arijort").commit();
  }
  log.record().text("completed req ").quoted(kMessage).text(" on ").number(pid);
  return log.text(" total reqs ").number(static_cast<std::int64_t>(number)).commit();
}

// The two records of a request, as AppendLog writes them.
std::array<std::string, 2> records() {
  std::array<std::string, 2> records;
  std::vector<char> buffer(AppendLog::buffer_bytes(kLongestLine));
  for (std::size_t i = 0; i < records.size(); i++) {
    const Fd file(::memfd_create("rate", MFD_CLOEXEC));
    if (!file) fail("memfd_create");
    AppendLog log(file.get(), buffer);
    if (!write_record(log, i, ::getpid())) fail("write");
    records.at(i).resize(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)));
    if (::pread(file.get(), records.at(i).data(), records.at(i).size(), 0) < 0) fail("pread");
  }
  return records;
}

void write_through_log(int file, std::uint64_t each) {
  std::vector<char> buffer(AppendLog::buffer_bytes(kLongestLine));
  AppendLog log(file, buffer);
  const pid_t pid = ::getpid();
  for (std::uint64_t i = 0; i < each; i++)
    if (!write_record(log, i, pid)) fail("write");
}

void write_bare(int file, std::uint64_t each, const std::array<std::string, 2>& records) {
  for (std::uint64_t i = 0; i < each; i++) {
    const std::string& record = records.at(i % 2);
    if (::write(file, record.data(), record.size()) != static_cast<ssize_t>(record.size()))
      fail("write");
  }
}

// Counts as a child counts a request.
void count(Slot& slot, std::uint64_t each) {
  for (std::uint64_t i = 0; i < each; i++)
    slot.total.store(slot.total.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// ---- parent ----

using Task = std::function<void(Place&)>;

// Forks a child, which does its task once the write end of `gate` is closed everywhere.
pid_t start_child(const std::array<Fd, 2>& gate, Place& place, const Task& task) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  try {
    ::close(gate[1].get());
    char none = 0;
    if (::read(gate[0].get(), &none, sizeof none) != 0) fail("read");
    task(place);
    place.ended.store(monotonic_now(), std::memory_order_release);
    ::_exit(EXIT_SUCCESS);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rate: %s\n", error.what());
  }
  ::_exit(EXIT_FAILURE);
}

// Nanoseconds from the start to the end of the last process.
Nanoseconds run(std::span<Place> places, const Task& task) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe2");
  std::array<Fd, 2> gate{Fd(ends[0]), Fd(ends[1])};
  std::size_t started = 0;
  for (Place& place : places) {
    if (start_child(gate, place, task) < 0) break;
    started++;
  }
  const int fork_error = errno;
  // Time to reach the gate; a later process finds it open, and takes part as well.
  ::usleep(50'000);
  const Nanoseconds begun = monotonic_now();
  gate[1].reset();
  bool failed = false;
  int status = 0;
  while (::wait(&status) > 0) failed = failed || status != 0;
  if (started < places.size()) throw SystemError("fork", fork_error);
  if (failed) throw std::runtime_error("a child failed");
  std::int64_t ended = 0;
  for (const Place& place : places) ended = std::max(ended, place.ended.load());
  return ended - begun;
}

// Mapped, not on the stack: the children share it.
std::span<Place> share_places(std::size_t number) {
  void* const memory = ::mmap(nullptr, number * sizeof(Place), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return {static_cast<Place*>(memory), number};
}

std::uint64_t lines_of(const char* path) {
  const Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) fail(path);
  std::vector<char> bytes(1 << 16);
  std::uint64_t lines = 0;
  for (ssize_t got = 0; (got = ::read(file.get(), bytes.data(), bytes.size())) > 0;)
    lines += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.begin() + got, '\n'));
  return lines;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0)
    throw std::runtime_error(std::string(text) + " is not a number from 1 on");
  return number;
}

void measure(std::string_view what, std::uint64_t processes, std::uint64_t each, const char* path) {
  const std::span<Place> places = share_places(processes);
  Nanoseconds took = 0;
  std::uint64_t made = 0;
  ::tzset();
  if (what == "count") {
    took = run(places, [&](Place& place) { count(place.slot, each); });
    for (const Place& place : places) made += place.slot.total.load();
  } else {
    const Fd file = open_log(path);
    const auto bare = records();
    if (what == "record")
      took = run(places, [&](Place&) { write_through_log(file.get(), each); });
    else
      took = run(places, [&](Place&) { write_bare(file.get(), each, bare); });
    made = lines_of(path);
  }
  if (made != processes * each) throw std::runtime_error("only " + std::to_string(made) + " made");
  std::printf("%.0f\n", static_cast<double>(made) * kSecond / static_cast<double>(took));
}

}  // namespace
}  // namespace kilofork

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  const bool writes = what == "record" || what == "write";
  if (!(writes && argc == 5) && !(what == "count" && argc == 4)) {
    std::fprintf(stderr,
                 "usage: rate record|write PROCESSES EACH FILE, or rate count PROCESSES EACH\n");
    return 2;
  }
  try {
    kilofork::measure(what, kilofork::number(argv[2]), kilofork::number(argv[3]),
                      writes ? argv[4] : nullptr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rate: %s\n", error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
