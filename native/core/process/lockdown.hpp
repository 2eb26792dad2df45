// Takes from a process what it does not need, for good. prctl(2), capabilities(7), seccomp(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace kilofork {

// Supervisor, and with it every child: no privilege can be gained any more by executing a program,
// and all capabilities are given up. Throws SystemError.
void drop_privileges();

// A path in memory that nobody can change any more, neither the supervisor nor a child: the filter
// below knows it by its address. Kept for the life of the process.
const char* keep_read_only(const std::string& path);

// The sanitizers' own system calls would not pass the filter: where they are built in, there is
// none. Nor where it was built for a kernel that cannot have one.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(KILOFORK_UNFILTERED)
constexpr bool kFiltersSystemCalls = false;
#else
constexpr bool kFiltersSystemCalls = true;
#endif

// What it takes to fork where the filter below is in force: a random number, in a page that is
// empty in every process but the one that made it.
class ForkKey {
 public:
  static std::optional<ForkKey> make();
  [[nodiscard]] std::uint64_t number() const { return *place_; }
  [[nodiscard]] const std::uint64_t* place() const { return place_; }

 private:
  explicit ForkKey(const std::uint64_t* place) : place_(place) {}
  const std::uint64_t* place_;
};

struct Lockdown {
  const char* removable;  // of keep_read_only(): the one file that may be removed
  const char* name;       // likewise: what a process may call itself
  bool waits_for_syncs;   // see group_commit.hpp
};

// Fork server, before the first child: from here on it and all that it forks have only the system
// calls that serving takes; any other one ends the process (SIGSYS). A child cannot execute a
// program, open a file, connect, fork, signal or trace a process, or map memory. No core dump is
// made of it, and no other process of its user may look into it.
//
// Installed once and inherited, since the kernel translates a filter for each process that installs
// one, and Linux 6.18 locks up when a thousand processes end at once that each had their own
// (bpf_prog_pack_free() waits for a worker, and each of them is waiting for it).
//
// Nothing when the kernel refuses: nobody may be served then.
std::optional<ForkKey> lock_down_children(const Lockdown& lockdown);
// As fork(2), but the child is the caller's sibling; only with the key of that filter.
pid_t fork_by_key(const ForkKey& key);

// Likewise the syncer, which reads from nobody and writes to nobody.
[[nodiscard]] bool lock_down_syncer();

}  // namespace kilofork
