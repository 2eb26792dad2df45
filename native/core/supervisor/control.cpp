#include "supervisor/control.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "base/tokens.hpp"
#include "process/fd_passing.hpp"

namespace kilofork {

namespace {

bool parse_work(std::string_view text, Work& work) {
  const std::string_view kind = take_token(text);
  if (kind == "none") {
    work = {.kind = Work::Kind::none, .duration = 0};
    return text.empty();
  }
  if (kind != "sleep" && kind != "spin") return false;
  work.kind = kind == "sleep" ? Work::Kind::sleep : Work::Kind::spin;
  return parse_number(text, work.duration);
}

std::string with_newline(std::string_view text) {
  return std::string(text) + '\n';
}

}  // namespace

bool apply_setting(PoolSettings& settings, std::string_view line) {
  Service& service = settings.service;
  const std::string_view name = take_token(line);
  if (name == "work") return parse_work(line, service.work);
  if (name == "ack") {
    service.synced = line == "synced";
    return service.synced || line == "written";
  }
  if (name == "max-line") return parse_number(line, service.max_line);
  if (name == "idle-timeout") return parse_number(line, service.idle_timeout);
  if (name == "read-timeout") return parse_number(line, service.read_timeout);
  if (name == "write-timeout") return parse_number(line, service.write_timeout);
  if (name == "linger-timeout") return parse_number(line, service.linger_timeout);
  if (name == "work-timeout") return parse_number(line, service.work_timeout);
  if (name == "max-per-address") return parse_number(line, service.max_per_address);
  if (name == "max-requests") return parse_number(line, service.max_requests);
  if (name == "max-requests-jitter") return parse_number(line, service.max_requests_jitter);
  if (name == "start-children") return parse_number(line, settings.limits.start);
  if (name == "min-spare") return parse_number(line, settings.limits.min_spare);
  if (name == "max-spare") return parse_number(line, settings.limits.max_spare);
  if (name == "max-children") return parse_number(line, settings.limits.max);
  if (name == "shrink-after") return parse_number(line, settings.limits.shrink_after);
  if (name == "bytes-per-child") return parse_number(line, settings.bytes_per_child);
  if (name == "memory-reserve") return parse_number(line, settings.memory_reserve);
  if (name == "log-epoch") return parse_number(line, settings.log_epoch);
  if (name == "grace") return parse_number(line, settings.grace);
  if (name == "first-back-off") return parse_number(line, settings.first_back_off);
  if (name == "longest-back-off") return parse_number(line, settings.longest_back_off);
  if (name == "greeting") {
    service.greeting = Template(with_newline(line));
    return true;
  }
  if (name == "reply") {
    service.reply = Template(with_newline(line));
    return true;
  }
  if (name == "refusal") {
    const auto refusal = refusal_named(take_token(line));
    if (refusal) service.refusals.at(static_cast<std::size_t>(*refusal)) = with_newline(line);
    return refusal.has_value();
  }
  return false;
}

std::optional<Control::Line> Control::read(bool wait) {
  for (;;) {
    if (const std::size_t newline = received_.find('\n'); newline != std::string::npos) {
      Line line{.text = received_.substr(0, newline), .passed = Fd()};
      received_.erase(0, newline + 1);
      // A descriptor travels with each of these lines: the front sends each of them on its own, so
      // they cannot change places.
      if ((line.text.starts_with("log ") || line.text == "spawn-log") && !passed_.empty()) {
        line.passed = std::move(passed_.front());
        passed_.pop_front();
      }
      return line;
    }
    if (ended_) return std::nullopt;
    std::array<char, 4096> bytes{};
    Fd passed;
    const ssize_t got = receive_with_fd(fd_, bytes, passed, wait ? 0 : MSG_DONTWAIT);
    if (passed) passed_.push_back(std::move(passed));
    if (got > 0) {
      received_.append(bytes.data(), static_cast<std::size_t>(got));
    } else if (got < 0 && errno == EAGAIN) {
      return std::nullopt;
    } else if (got == 0 || errno != EINTR) {
      ended_ = true;
    }
  }
}

void Control::close() {
  ::close(fd_);
  passed_.clear();
}

bool Control::send(std::string_view line) const {
  return send_with_fd(fd_, with_newline(line), -1, MSG_DONTWAIT) >= 0;
}

}  // namespace kilofork
