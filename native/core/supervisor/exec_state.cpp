#include "supervisor/exec_state.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/tokens.hpp"

namespace kilofork {

namespace {

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> bytes{};
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), at);
    if (got < 0) fail("read the exec state");
    if (got == 0) return text;
    text.append(bytes.data(), static_cast<std::size_t>(got));
    at += got;
  }
}

// Removes the first line from the text and returns it.
std::string_view take_line(std::string_view& text) {
  const std::size_t newline = text.find('\n');
  const std::string_view line = text.substr(0, newline);
  text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
  return line;
}

bool parse_child(std::string_view words, ExecState::Child& child) {
  Member& member = child.member;
  int pending = 0;
  const bool parsed =
      parse_number(take_token(words), child.slot) && parse_number(take_token(words), member.pid) &&
      parse_number(take_token(words), pending) && parse_number(take_token(words), member.told_at) &&
      parse_number(take_token(words), child.keeper_end);
  const auto cause = cause_named(words);
  member.pending = pending != 0;
  if (cause) member.cause = *cause;
  return parsed && cause;
}

bool apply_line(ExecState& state, std::string_view line) {
  const std::string_view name = take_token(line);
  if (name == "wakeup") return parse_number(line, state.wakeup);
  if (name == "publish-log") return parse_number(line, state.publish_log);
  if (name == "receive-log") return parse_number(line, state.receive_log);
  if (name == "syncer") return parse_number(line, state.syncer);
  if (name == "inbox") return parse_number(line, state.inbox);
  if (name == "keeper") return parse_number(line, state.keeper);
  if (name == "keeper-control") return parse_number(line, state.keeper_control);
  if (name == "announced") {
    state.announced = true;
    return line.empty();
  }
  if (name == "pending-end") {
    state.pending_ends.emplace_back(line);
    return true;
  }
  if (name != "child") return false;
  state.children.emplace_back();
  return parse_child(line, state.children.back());
}

}  // namespace

Fd write_exec_state(const ExecState& state) {
  std::string text;
  const auto add = [&text](const auto&... words) { ((text += words, text += ' '), ...); };
  const auto end_line = [&text] { text.back() = '\n'; };
  for (const auto& line : state.settings) add(line), end_line();
  add("start"), end_line();
  add("wakeup", std::to_string(state.wakeup)), end_line();
  add("publish-log", std::to_string(state.publish_log)), end_line();
  add("receive-log", std::to_string(state.receive_log)), end_line();
  add("syncer", std::to_string(state.syncer)), end_line();
  add("inbox", std::to_string(state.inbox)), end_line();
  add("keeper", std::to_string(state.keeper)), end_line();
  add("keeper-control", std::to_string(state.keeper_control)), end_line();
  if (state.announced) add("announced"), end_line();
  for (const auto& [slot, member, keeper_end] : state.children) {
    add("child", std::to_string(slot), std::to_string(member.pid), member.pending ? "1" : "0",
        std::to_string(member.told_at), std::to_string(keeper_end), name_of(member.cause));
    end_line();
  }
  for (const auto& record : state.pending_ends) add("pending-end", record), end_line();

  Fd fd(::memfd_create("kilofork-exec-state", 0));
  if (!fd) fail("memfd_create");
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t put = ::write(fd.get(), text.data() + at, text.size() - at);
    if (put < 0) fail("write the exec state");
    at += static_cast<std::size_t>(put);
  }
  return fd;
}

ExecState read_exec_state(int fd) {
  ExecState state;
  const std::string whole = read_all(fd);
  std::string_view text = whole;
  for (auto line = take_line(text); line != "start"; line = take_line(text)) {
    if (text.empty()) throw SystemError("an exec state without \"start\"", EPROTO);
    state.settings.emplace_back(line);
  }
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (!apply_line(state, line))
      throw SystemError("exec state \"" + std::string(line) + "\"", EPROTO);
  }
  return state;
}

void execute_successor(const std::string& path, const std::string& segment_name,
                       const ExecState& state, const std::vector<int>& kept) {
  const Fd fd = write_exec_state(state);
  for (const int each : kept) ::fcntl(each, F_SETFD, 0);
  std::string name = "kilofork-supervisor";
  std::string segment = segment_name;
  std::string fd_text = std::to_string(fd.get());
  const std::array<char*, 4> argv{name.data(), segment.data(), fd_text.data(), nullptr};
  ::execv(path.c_str(), argv.data());
  fail("exec " + path);
}

}  // namespace kilofork
