// What a process does that is about to fork thousands, so that each of them is small. Before that,
// the kernel and the C library have spread a process over its address space, and made it write to
// pages that it then has to itself; every child would have all that anew, and every fork copy it.
// Runs in the fork server. What cannot be had only costs memory.
#pragma once

#include <functional>

namespace kilofork {

// Goes on in `body`, which must not return, on a stack beside the other mappings. The stack that
// the kernel made lies where nothing else does, which costs each process three pages of page
// tables: it stays with this process and is not forked (MADV_DONTFORK). Nothing that a child uses
// may be there: no local variable of a caller, no argument of main().
[[noreturn]] void go_on_beside_mappings(std::function<void()> body);

// Restartable sequences, which nobody uses here: the kernel would write into the thread's data when
// a child first runs, and whenever it goes on. rseq(2)
void leave_restartable_sequences();

}  // namespace kilofork
