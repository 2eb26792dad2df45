#include "process/footprint.hpp"

#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/read_file.hpp"
#include "base/tokens.hpp"

namespace kilofork {

namespace {

// The sanitizers expect one stack, and musl has no makecontext(3).
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kHasStacks = true;
#else
constexpr bool kHasStacks = false;
#endif
constexpr std::size_t kStackBytes = std::size_t{256} * 1024;  // unused pages cost nothing
// Below the stack, and not accessible: an overflow ends the process.
constexpr std::size_t kGuardBytes = std::size_t{64} * 1024;

std::span<std::byte> map_stack() {
  constexpr int kKind = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* memory = ::mmap(nullptr, kGuardBytes + kStackBytes, PROT_NONE, kKind, -1, 0);
  if (memory == MAP_FAILED) fail("mmap of a stack");
  std::byte* const stack = static_cast<std::byte*>(memory) + kGuardBytes;
  if (::mprotect(stack, kStackBytes, PROT_READ | PROT_WRITE) != 0) fail("mprotect of a stack");
  return {stack, kStackBytes};
}

// Reads the place of the stack from proc_pid_maps(5): "7ffd1c5e1000-7ffd1c602000 rw-p … [stack]".
void keep_first_stack_from_children() {
  const std::string maps = read_file("/proc/self/maps");
  const std::size_t name = maps.find("[stack]");
  if (name == std::string::npos) return;
  std::uintptr_t from = 0;
  std::uintptr_t until = 0;
  const char* const end = maps.data() + name;
  const char* const line = maps.data() + maps.rfind('\n', name) + 1;
  const char* const dash = std::from_chars(line, end, from, 16).ptr;
  std::from_chars(dash + 1, end, until, 16);
  void* const stack = reinterpret_cast<void*>(from);  // NOLINT(performance-no-int-to-ptr)
  if (until > from) ::madvise(stack, until - from, MADV_DONTFORK);
}

// Copies the command line from the first stack to the top of the new one, and tells the kernel
// (PR_SET_MM), so that ps(1) still shows it. Returns the bytes that this takes. Fields are those of
// proc_pid_stat(5), counted from 1.
std::size_t keep_command_line(std::span<std::byte> stack) {
  enum Field : std::uint8_t {
    kState = 3,  // the first after the name, which may contain anything
    kStartCode = 26,
    kEndCode = 27,
    kStartStack = 28,
    kStartData = 45,
    kEndData = 46,
    kStartBrk = 47,
    kFields = 48,
  };
  const std::string stat = read_file("/proc/self/stat");
  std::string_view words = stat;
  words.remove_prefix(std::min(words.size(), words.rfind(") ") + 2));
  std::array<std::uint64_t, kFields> field{};
  for (std::size_t i = kState; i < kFields; i++)
    parse_number(take_token(words), field.at(i));  // a field that is negative is not used
  constexpr std::size_t kLongest = 1024;
  constexpr std::size_t kAlignment = 16;
  const std::string command = read_file("/proc/self/cmdline");
  const std::size_t length = std::min(command.size(), kLongest);
  if (length == 0) return 0;
  const std::size_t room = (length + kAlignment - 1) / kAlignment * kAlignment;
  std::byte* const copy = stack.data() + stack.size() - room;
  std::memcpy(copy, command.data(), length);
  const auto at = reinterpret_cast<std::uint64_t>(copy);
  prctl_mm_map map{};
  map.start_code = field[kStartCode];
  map.end_code = field[kEndCode];
  map.start_data = field[kStartData];
  map.end_data = field[kEndData];
  map.start_brk = field[kStartBrk];
  map.brk = reinterpret_cast<std::uint64_t>(::sbrk(0));
  map.start_stack = field[kStartStack];
  map.arg_start = map.env_start = map.env_end = at;
  map.arg_end = at + length;
  map.exe_fd = static_cast<std::uint32_t>(-1);
  ::prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
  return room;
}

std::function<void()> g_body;

[[noreturn]] void run_body() {
  g_body();
  ::_exit(1);
}

}  // namespace

void go_on_beside_mappings(std::function<void()> body) {
  g_body = std::move(body);
  if (kHasStacks) {
    const std::span<std::byte> stack = map_stack();
    const std::size_t taken = keep_command_line(stack);
    keep_first_stack_from_children();
    static ucontext_t context;
    ::getcontext(&context);
    context.uc_stack = {.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size() - taken};
    ::makecontext(&context, run_body, 0);
    ::setcontext(&context);
  }
  run_body();
}

void leave_restartable_sequences() {
#if defined(RSEQ_SIG)
  constexpr std::size_t kRegisteredBytes = 32;  // by glibc
  constexpr int kUnregister = 1;
  ::syscall(SYS_rseq, static_cast<std::byte*>(__builtin_thread_pointer()) + __rseq_offset,
            kRegisteredBytes, kUnregister, RSEQ_SIG);
#endif
}

}  // namespace kilofork
