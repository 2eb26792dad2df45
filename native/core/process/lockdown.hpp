// Takes privileges and system calls from a process for the rest of its life. Each function says
// which process calls it. prctl(2), capabilities(7), seccomp(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kilofork {

// Supervisor; the processes that it forks inherit it. Drops all capabilities and sets no_new_privs.
// Throws SystemError.
void drop_privileges();

// Supervisor. Copies a text to read-only memory, which is never freed. The filter compares
// addresses and not texts, so what it allows must not change.
const char* keep_read_only(const std::string& text);

// The sanitizers make system calls of their own, so they are built without the filter. So are
// builds for kernels that have no seccomp (KILOFORK_UNFILTERED).
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(KILOFORK_UNFILTERED)
constexpr bool kFiltersSystemCalls = false;
#else
constexpr bool kFiltersSystemCalls = true;
#endif

// Forker. A random number that fork_by_key() passes to clone(2). The filter allows clone(2) with
// this number only. In every forked process the page that holds it is wiped (MADV_WIPEONFORK), so a
// child cannot fork.
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
  const char* removable;  // the path that unlink(2) may remove; from keep_read_only()
  const char* name;       // the name that PR_SET_NAME may set; from keep_read_only()
  bool waits_for_syncs;   // allows futex(2), see shm/group_commit.hpp
  // A child gets its clients from the listener, or from the keeper.
  bool from_keeper = false;
  // Descriptors. The one of the lifeline may be put in the place of the listener, and any in the
  // place of the log. Those of `shared` are of all children: none may be shut down, and no message
  // or option goes to them.
  int listener = -1;
  int lifeline = -1;
  int log = -1;
  std::vector<int> shared{};
};

// Forker, before it forks the first child; children inherit it. Allows the system calls that a
// child needs to serve; any other one ends the process (SIGSYS). A child cannot execute a program,
// open a file, connect, fork, signal or trace a process, or map memory. It leaves no core dump, and
// other processes of its user cannot inspect it.
//
// The filter is installed once and inherited. A filter of its own for each child would be compiled
// for each, and Linux 6.18 locks up when a thousand processes with filters of their own end at
// once: bpf_prog_pack_free() waits for a worker while all workers wait for it.
//
// Empty if the kernel refuses; then no client may be served.
std::optional<ForkKey> lock_down_children(const Lockdown& lockdown);
// Forker. As fork(2), but the new process is a child of the caller's parent, the supervisor
// (CLONE_PARENT).
pid_t fork_by_key(const ForkKey& key);

// Keeper. Allows what it needs to accept, watch, pass and end connections. False if the kernel
// refuses.
[[nodiscard]] bool lock_down_keeper();
// Syncer. Allows what it needs to receive logs, sync them and wake others. False if the kernel
// refuses.
[[nodiscard]] bool lock_down_syncer();
// Log writer. Allows what it needs to copy the spool and wake others. False if the kernel refuses.
[[nodiscard]] bool lock_down_log_writer();

}  // namespace kilofork
