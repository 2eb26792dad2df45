#include "supervisor/exec_state.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "base/error.hpp"
#include "base/tokens.hpp"

namespace kilofork {

namespace {

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> bytes{};
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), at);
    if (got < 0) fail("read the handover");
    if (got == 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(got));
    at += got;
  }
}

// Takes the first line off a text.
std::string_view take_line(std::string_view& text) {
  const std::size_t newline = text.find('\n');
  const std::string_view line = text.substr(0, newline);
  text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
  return line;
}

bool parse_child(std::string_view words, Handover::Child& child) {
  Member& member = child.member;
  int owed = 0;
  const bool parsed =
      parse_number(take_word(words), child.slot) && parse_number(take_word(words), member.pid) &&
      parse_number(take_word(words), owed) && parse_number(take_word(words), member.told);
  const auto cause = cause_named(words);
  member.owed = owed != 0;
  if (cause) member.cause = *cause;
  return parsed && cause;
}

bool apply_line(Handover& handover, std::string_view line) {
  const std::string_view name = take_word(line);
  if (name == "bell") return parse_number(line, handover.bell);
  if (name == "give-log") return parse_number(line, handover.give_log);
  if (name == "take-log") return parse_number(line, handover.take_log);
  if (name == "syncer") return parse_number(line, handover.syncer);
  if (name == "inbox") return parse_number(line, handover.inbox);
  if (name == "announced") {
    handover.announced = true;
    return line.empty();
  }
  if (name == "owed") {
    handover.owed.emplace_back(line);
    return true;
  }
  if (name != "child") return false;
  handover.children.emplace_back();
  return parse_child(line, handover.children.back());
}

}  // namespace

Fd write_handover(const Handover& handover) {
  std::string text;
  const auto add = [&text](const auto&... words) { ((text += words, text += ' '), ...); };
  const auto end_line = [&text] { text.back() = '\n'; };
  for (const auto& line : handover.settings) add(line), end_line();
  add("start"), end_line();
  add("bell", std::to_string(handover.bell)), end_line();
  add("give-log", std::to_string(handover.give_log)), end_line();
  add("take-log", std::to_string(handover.take_log)), end_line();
  add("syncer", std::to_string(handover.syncer)), end_line();
  add("inbox", std::to_string(handover.inbox)), end_line();
  if (handover.announced) add("announced"), end_line();
  for (const auto& [slot, member] : handover.children) {
    add("child", std::to_string(slot), std::to_string(member.pid), member.owed ? "1" : "0",
        std::to_string(member.told), name_of(member.cause));
    end_line();
  }
  for (const auto& record : handover.owed) add("owed", record), end_line();

  Fd fd(::memfd_create("kilofork-handover", 0));
  if (!fd) fail("memfd_create");
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t put = ::write(fd.get(), text.data() + at, text.size() - at);
    if (put < 0) fail("write the handover");
    at += static_cast<std::size_t>(put);
  }
  return fd;
}

Handover read_handover(int fd) {
  Handover handover;
  const std::string whole = read_all(fd);
  std::string_view text = whole;
  for (auto line = take_line(text); line != "start"; line = take_line(text)) {
    if (text.empty()) throw SystemError("a handover without \"start\"", EPROTO);
    handover.settings.emplace_back(line);
  }
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (!apply_line(handover, line))
      throw SystemError("handover \"" + std::string(line) + "\"", EPROTO);
  }
  return handover;
}

}  // namespace kilofork
