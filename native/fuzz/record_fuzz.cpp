// Fuzzes the records of the log and their escapes. Whatever a client sends, its record is one line
// with balanced quotes, from which a reader gets the message back. A record that a full disk cuts
// short is closed by the marker before the next one. Where the log says another offset from UTC, a
// record of the offset stands before the first one.
//
// Input: a byte for the kind of record (modulo 4) and the offset (from 0x80 on: another), a byte
// for the room that the file has for the first record (from '~' on: enough), then the message.
#include "log/append_log.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "fuzz.hpp"

namespace {

using kilofork::AppendLog;

constexpr std::size_t kLongestLine = 1024;
constexpr std::size_t kLongestName = 31;
constexpr std::size_t kTimeLength = 29;
constexpr std::string_view kMarker = "<torn>\n";
constexpr std::int32_t kOtherOffset = 45'240;  // of no zone

// What stands before the quotes, and behind them.
struct Frame {
  std::string_view before, behind;
};
constexpr std::array<Frame, 4> kFrames{{
    {" -- server 4711 recvd message ", " from user arijort"},
    {" -- completed req ", " on 4711 total reqs 18446744"},
    {" -- authorization error: user ", " on 4711"},
    {" -- work timeout: req ", " on 4711 after 3000 ms"},
}};

void build(AppendLog& log, std::size_t kind, std::string_view message) {
  log.record();
  switch (kind) {
    case 0:
      log.text("server ").number(4711).text(" recvd message ").quoted(message);
      log.text(" from user ").text("arijort");
      break;
    case 1:
      log.text("completed req ").quoted(message).text(" on ").number(4711);
      log.text(" total reqs ").number(18446744);
      break;
    case 2:
      log.text("authorization error: user ").quoted(message).text(" on ").number(4711);
      break;
    default:
      log.text("work timeout: req ").quoted(message).text(" on ").number(4711);
      log.text(" after ").number(3000).text(" ms");
  }
}

int hex_digit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

// The length of the character that `text` begins with, decoded by arithmetic; 0 if it must not
// reach a terminal, or is not UTF-8.
std::size_t shown_character(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint32_t lead = byte(0);
  const std::size_t length = lead < 0x80             ? 1
                             : (lead & 0xe0) == 0xc0 ? 2
                             : (lead & 0xf0) == 0xe0 ? 3
                             : (lead & 0xf8) == 0xf0 ? 4
                                                     : 0;
  if (length == 0 || text.size() < length) return 0;
  std::uint32_t code = length == 1 ? lead : lead & (0x7fU >> length);
  for (std::size_t i = 1; i < length; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
  const bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  const bool is_surrogate = code >= 0xd800 && code < 0xe000;
  return is_control || is_surrogate || code > 0x10ffff || code < kLeast.at(length) ? 0 : length;
}

// The text between quotes, as a reader undoes its escapes. Empty if it has a byte that should have
// been escaped.
std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t taken = 0;
    if (text[0] == '"') return std::nullopt;
    if (text[0] != '\\') {
      taken = shown_character(text);
      if (taken == 0) return std::nullopt;
      out += text.substr(0, taken);
    } else if (text.size() >= 2 && (text[1] == '"' || text[1] == '\\')) {
      taken = 2;
      out += text[1];
    } else {
      if (text.size() < 4 || text[1] != 'x') return std::nullopt;
      const int high = hex_digit(text[2]);
      const int low = hex_digit(text[3]);
      if (high < 0 || low < 0) return std::nullopt;
      taken = 4;
      out += static_cast<char>(high << 4 | low);
    }
    text.remove_prefix(taken);
  }
  return out;
}

bool is_time(std::string_view text) {
  constexpr std::string_view kPattern = "0000.00.00 00:00:00.000000000";
  if (text.size() != kPattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); i++) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (kPattern[i] == '0' ? !is_digit : text[i] != kPattern[i]) return false;
  }
  return true;
}

// `line`: without its newline.
void require_record(std::string_view line, const Frame& frame, std::string_view message) {
  REQUIRE(line.find('\n') == std::string_view::npos);
  REQUIRE(line.size() >= kTimeLength + frame.before.size() + frame.behind.size() + 2);
  REQUIRE(is_time(line.substr(0, kTimeLength)));
  line.remove_prefix(kTimeLength);
  REQUIRE(line.starts_with(frame.before));
  line.remove_prefix(frame.before.size());
  REQUIRE(line.ends_with(frame.behind));
  line.remove_suffix(frame.behind.size());
  REQUIRE(line.size() >= 2 && line.starts_with('"') && line.ends_with('"'));
  REQUIRE(unescaped(line.substr(1, line.size() - 2)) == message);
}

void require_offset(std::string_view line) {
  REQUIRE(is_time(line.substr(0, kTimeLength)));
  line.remove_prefix(kTimeLength);
  REQUIRE(line.starts_with(" -- local time is UTC"));
}

// A file in memory that can be made full.
struct File {
  File() : fd(::memfd_create("kilofork-fuzz", MFD_CLOEXEC)) {
    REQUIRE(fd >= 0 && ::fcntl(fd, F_SETFL, O_APPEND) == 0);
    ::signal(SIGXFSZ, SIG_IGN);  // libFuzzer has set a handler of its own
  }
  void limit(rlim_t bytes) const {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  [[nodiscard]] std::string content() const {
    std::string text(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
    REQUIRE(::pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    return text;
  }
  int fd;
};

std::string_view take_line(std::string_view& text) {
  const std::size_t newline = text.find('\n');
  REQUIRE(newline != std::string_view::npos);
  const std::string_view line = text.substr(0, newline);
  text.remove_prefix(newline + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const File file;
  if (size < 2) return 0;
  const std::size_t kind = data[0] % kFrames.size();
  const bool has_room = data[1] >= '~';
  const rlim_t room = data[1];
  const Frame& frame = kFrames.at(kind);
  const std::string_view message =
      kilofork::fuzz::text_of(data, size).substr(2, kind == 2 ? kLongestName : kLongestLine);

  REQUIRE(::ftruncate(file.fd, 0) == 0);
  std::vector<char> buffer(AppendLog::buffer_bytes(kLongestLine));
  const bool is_other_offset = data[0] >= 0x80;
  kilofork::UtcOffset offset;
  if (is_other_offset) offset.publish(0, kOtherOffset);
  AppendLog log(file.fd, buffer, offset);
  if (!has_room) file.limit(room);
  build(log, kind, message);
  const bool written = log.commit();
  const int error = errno;
  if (!has_room) file.limit(RLIM_INFINITY);
  const std::string first = file.content();
  build(log, kind, message);
  REQUIRE(log.commit());
  build(log, kind, message);
  REQUIRE(log.commit());
  const std::string all = file.content();

  REQUIRE(all.starts_with(first));
  std::string_view rest = std::string_view(all).substr(first.size());
  if (written) {
    std::string_view lines = first;
    if (is_other_offset) require_offset(take_line(lines));
    require_record(take_line(lines), frame, message);
    REQUIRE(lines.empty());
  } else if (first.empty()) {
    REQUIRE(!has_room && error == EFBIG);
  } else {
    REQUIRE(!has_room && first.size() == room && error == ENOSPC);
    REQUIRE(rest.starts_with(kMarker));
    rest.remove_prefix(kMarker.size());
  }
  if (is_other_offset && !written) require_offset(take_line(rest));
  const std::string_view second = take_line(rest);
  require_record(second, frame, message);
  require_record(take_line(rest), frame, message);
  REQUIRE(rest.empty());
  // But for its time, and for what is cut off, the first record is the same.
  if (first.size() > kTimeLength && !is_other_offset) {
    const std::string whole = std::string(second.substr(kTimeLength)) + '\n';
    REQUIRE(whole.starts_with(first.substr(kTimeLength)));
  }
  return 0;
}
