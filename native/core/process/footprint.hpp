// Keeps the memory of a child small. Runs in the forker, before it forks the first child. A step
// that fails costs memory and nothing else.
//
// A page that a child writes is copied for it, and each region of its address space needs page
// tables of its own. These functions spare children pages and regions that they do not need.
#pragma once

#include <functional>

namespace kilofork {

// Runs `body`, which must not return, on a new stack beside the other mappings. Children do not get
// the first stack (MADV_DONTFORK): it lies far from the other mappings and would cost each child
// three pages of page tables. So a child must use nothing on it: no local variable of a caller, no
// argument of main().
[[noreturn]] void go_on_beside_mappings(std::function<void()> body);

// Unregisters the thread's restartable sequence, which nothing here uses. The kernel would write to
// its page in each child. rseq(2).
void leave_restartable_sequences();

}  // namespace kilofork
