// Makes the processes small that the forker forks. Runs in the forker before the first fork. A step
// that fails costs memory and nothing else.
//
// A page that a child writes is copied for it, and each region of its address space needs page
// tables of its own. These functions spare children the pages and regions that they do not need.
#pragma once

#include <functional>

namespace kilofork {

// Continues in `body`, which must not return, on a new stack beside the other mappings. The first
// stack lies far from them and would cost each child three pages of page tables, so it is not
// forked (MADV_DONTFORK). A child must not use anything on it: no local variable of a caller, no
// argument of main().
[[noreturn]] void go_on_beside_mappings(std::function<void()> body);

// Unregisters the thread's restartable sequence, which nothing here uses: the kernel would write to
// that page of each child. rseq(2)
void leave_restartable_sequences();

}  // namespace kilofork
