// What an orphan does for the segment of its server before it leaves. An orphan is a child or the
// forker, and its supervisor is dead.
//
// If the front is dead, too, no other process is left to remove the segment. If the front lives, it
// may still die before there is another supervisor: so the first orphan stays as guard.
// pidfd_open(2).
#pragma once

namespace kilofork {

struct ChildContext;

// Also called in a signal handler.
void guard_segment(const ChildContext& context);

}  // namespace kilofork
