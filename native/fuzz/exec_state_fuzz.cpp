// Fuzzes the exec state, which a supervisor reads from the one that it replaces. Any text is
// refused with EPROTO, or read as a state that is the same once it is written and read again.
//
// Input: the content of the memory file.
#include "supervisor/exec_state.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/error.hpp"
#include "fuzz.hpp"

namespace {

using kilofork::ExecState;

std::optional<ExecState> read(int fd) {
  try {
    return kilofork::read_exec_state(fd);
  } catch (const kilofork::SystemError& error) {
    REQUIRE(error.code == EPROTO);
    return std::nullopt;
  }
}

void require_same(const ExecState& a, const ExecState& b) {
  REQUIRE(a.settings == b.settings);
  REQUIRE(a.wakeup == b.wakeup && a.publish_log == b.publish_log && a.receive_log == b.receive_log);
  REQUIRE(a.syncer == b.syncer && a.inbox == b.inbox);
  REQUIRE(a.keeper == b.keeper && a.keeper_control == b.keeper_control);
  REQUIRE(a.announced == b.announced && a.pending_ends == b.pending_ends);
  REQUIRE(a.children.size() == b.children.size());
  for (std::size_t i = 0; i < a.children.size(); i++) {
    const auto& [slot, member, keeper_end] = a.children[i];
    const auto& [other_slot, other, other_end] = b.children[i];
    REQUIRE(slot == other_slot && member.pid == other.pid && member.cause == other.cause);
    REQUIRE(member.pending == other.pending && member.told_at == other.told_at);
    REQUIRE(keeper_end == other_end);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("kilofork-fuzz", MFD_CLOEXEC);
  const std::ptrdiff_t before = kilofork::fuzz::open_descriptors();
  REQUIRE(::ftruncate(file, 0) == 0);
  REQUIRE(::pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  if (const auto state = read(file)) {
    const auto again = read(write_exec_state(*state).get());
    REQUIRE(again.has_value());
    require_same(*state, *again);
  }
  REQUIRE(kilofork::fuzz::open_descriptors() == before);
  return 0;
}
