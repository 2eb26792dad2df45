// What a supervisor reads from the one that it takes over from: any text is refused by EPROTO, or
// read as something that is the same once written and read again.
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

using kilofork::Handover;

std::optional<Handover> read(int fd) {
  try {
    return kilofork::read_handover(fd);
  } catch (const kilofork::SystemError& error) {
    REQUIRE(error.code == EPROTO);
    return std::nullopt;
  }
}

void require_same(const Handover& a, const Handover& b) {
  REQUIRE(a.settings == b.settings);
  REQUIRE(a.bell == b.bell && a.give_log == b.give_log && a.take_log == b.take_log);
  REQUIRE(a.syncer == b.syncer && a.inbox == b.inbox);
  REQUIRE(a.announced == b.announced);
  REQUIRE(a.children.size() == b.children.size());
  for (std::size_t i = 0; i < a.children.size(); i++) {
    const auto& [slot, member] = a.children[i];
    const auto& [other_slot, other] = b.children[i];
    REQUIRE(slot == other_slot && member.pid == other.pid && member.cause == other.cause);
    REQUIRE(member.owed == other.owed && member.told == other.told);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("kilofork-fuzz", MFD_CLOEXEC);
  const std::ptrdiff_t before = kilofork::fuzz::open_descriptors();
  REQUIRE(::ftruncate(file, 0) == 0);
  REQUIRE(::pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  if (const auto handover = read(file)) {
    const auto again = read(write_handover(*handover).get());
    REQUIRE(again.has_value());
    require_same(*handover, *again);
  }
  REQUIRE(kilofork::fuzz::open_descriptors() == before);
  return 0;
}
