// Fuzzes the supervisor's end of the control channel. However the bytes are split on their way, no
// line is lost, invented or changed, and each descriptor goes to one line, in the order of sending.
// Also fuzzes the settings, which come in such lines.
//
// Input: the bytes that a front sends, but for four. 1 ends a segment, and then all is read; 3 ends
// a segment; 2 sends a descriptor with its segment; 4 stands for 2,500 bytes, which is more than
// half of what is read at a time.
#include "supervisor/control.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <string>
#include <vector>

#include "fuzz.hpp"
#include "process/fd_passing.hpp"
#include "supervisor/settings.hpp"

namespace {

using kilofork::Control;
using kilofork::PoolSettings;

constexpr char kReadAll = 1;
constexpr char kPass = 2;
constexpr char kSplit = 3;
constexpr char kMany = 4;
constexpr std::size_t kHowMany = 2500;
// The socket has room for so much, so that no send waits.
constexpr std::size_t kLongestSegment = 16'384;
constexpr std::size_t kMostUnread = 6;

// Descriptors to send. Their inodes tell them apart when they arrive.
struct Passes {
  Passes() {
    for (std::size_t i = 0; i < fds.size(); i++) {
      fds.at(i) = ::memfd_create("kilofork-fuzz", MFD_CLOEXEC);
      inodes.at(i) = inode_of(fds.at(i));
    }
  }
  static ino_t inode_of(int fd) {
    struct stat status {};
    REQUIRE(::fstat(fd, &status) == 0);
    return status.st_ino;
  }
  std::array<int, 3> fds{};
  std::array<ino_t, 3> inodes{};
};

std::array<int, 2> make_channel() {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  return ends;
}

class Exchange {
 public:
  explicit Exchange(const Passes& passes) : passes_(passes) {}

  void add(char byte, std::size_t times = 1) {
    if (segment_.size() + times > kLongestSegment) send();
    segment_.append(times, byte);
  }
  void pass() { passes_one_ = true; }
  // A segment without bytes cannot carry a descriptor.
  void send() {
    if (segment_.empty()) return;
    const int fd = passes_one_ ? passes_.fds.at(sent_ % passes_.fds.size()) : -1;
    const ssize_t sent = kilofork::send_with_fd(front_.get(), segment_, fd, 0);
    REQUIRE(sent == static_cast<ssize_t>(segment_.size()));
    if (passes_one_) sent_++;
    pending_ += segment_;
    segments_++;
    segment_.clear();
    passes_one_ = false;
    if (segments_ == kMostUnread) read_all();
  }
  void read_all() {
    // So many descriptors have arrived for sure: of several segments on their way, the kernel may
    // deliver some later.
    const std::size_t sure = segments_ <= 1 ? sent_ : received_;
    while (auto line = control_.read(false)) take(*line, sure);
    REQUIRE(pending_.find('\n') == std::string::npos);
    received_ = sent_;
    segments_ = 0;
    REQUIRE(control_.is_between_lines() == (pending_.empty() && given_ == sent_));
    REQUIRE(!control_.at_end());
  }
  void end() {
    front_.reset();
    REQUIRE(!control_.read(true));
    REQUIRE(control_.at_end());
    REQUIRE(!control_.read(false));
  }
  [[nodiscard]] const PoolSettings& settings() const { return settings_; }

 private:
  void take(const Control::Line& line, std::size_t sure) {
    const std::size_t newline = pending_.find('\n');
    REQUIRE(newline != std::string::npos);
    REQUIRE(line.text == pending_.substr(0, newline));
    pending_.erase(0, newline + 1);
    const bool wants = line.text.starts_with("log ") || line.text == "spawn-log";
    if (line.passed) {
      REQUIRE(wants && given_ < sent_);
      REQUIRE(Passes::inode_of(line.passed.get()) ==
              passes_.inodes.at(given_ % passes_.inodes.size()));
      REQUIRE((::fcntl(line.passed.get(), F_GETFD) & FD_CLOEXEC) != 0);
      given_++;
    } else {
      REQUIRE(!wants || given_ >= sure);
    }
    PoolSettings fresh{};
    REQUIRE(apply_setting(settings_, line.text) == apply_setting(fresh, line.text));
  }

  const Passes& passes_;
  std::array<int, 2> ends_ = make_channel();
  kilofork::Fd front_{ends_[0]};
  kilofork::Fd supervisor_{ends_[1]};
  Control control_{ends_[1]};
  PoolSettings settings_{};

  std::string segment_;       // not sent yet
  bool passes_one_ = false;   // a descriptor goes with that segment
  std::string pending_;       // sent, and not yet read as a line
  std::size_t segments_ = 0;  // sent since all was read
  std::size_t sent_ = 0;      // descriptors that were sent
  std::size_t received_ = 0;  // of these, received for sure
  std::size_t given_ = 0;     // of these, read with a line
};

void render(const kilofork::Template& text) {
  const kilofork::Template::Values values{
      .pid = "4711", .user = "arijort", .message = "lalala", .n = "17"};
  std::vector<char> out(text.size(values));
  REQUIRE(text.render(values, out.data()) == out.data() + out.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Passes passes;
  const std::ptrdiff_t before = kilofork::fuzz::open_descriptors();
  {
    Exchange exchange(passes);
    for (const char byte : kilofork::fuzz::text_of(data, size)) {
      if (byte == kPass) {
        exchange.pass();
      } else if (byte == kReadAll || byte == kSplit) {
        exchange.send();
        if (byte == kReadAll) exchange.read_all();
      } else if (byte == kMany) {
        exchange.add('x', kHowMany);
      } else {
        exchange.add(byte);
      }
    }
    exchange.send();
    exchange.read_all();
    exchange.end();
    render(exchange.settings().service.greeting);
    render(exchange.settings().service.reply);
  }
  REQUIRE(kilofork::fuzz::open_descriptors() == before);
  return 0;
}
