// Takes from a process what it does not need, for good. prctl(2), capabilities(7), seccomp(2).
#pragma once

#include <string>

namespace kilofork {

// Supervisor, and with it every child: no privilege can be gained any more by executing a program,
// and all capabilities are given up. Throws SystemError.
void drop_privileges();

// A path in memory that nobody can change any more, neither the supervisor nor a child: the filter
// below knows it by its address. Kept for the life of the process.
const char* keep_read_only(const std::string& path);

// The sanitizers' own system calls would not pass the filter: where they are built in, there is
// none.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kFiltersSystemCalls = false;
#else
constexpr bool kFiltersSystemCalls = true;
#endif

// Child, before it serves anyone: from here on only the system calls that serving takes are left;
// any other one ends the process (SIGSYS). It cannot execute a program, open a file, connect, fork,
// signal or trace a process, or map memory. It may remove one file: `removable`, of
// keep_read_only(). No core dump is made of it, and no other process of its user may look into it.
// False when the kernel refuses: the child must not serve then.
[[nodiscard]] bool lock_down_child(const char* removable, bool waits_for_syncs);
// Likewise the syncer, which reads from nobody and writes to nobody.
[[nodiscard]] bool lock_down_syncer();

}  // namespace kilofork
