#include "supervisor/control.hpp"

#include <sys/socket.h>

#include <array>

#include "process/fd_passing.hpp"

namespace kilofork {

std::optional<Control::Line> Control::read(bool wait) {
  for (;;) {
    if (const std::size_t newline = received_.find('\n'); newline != std::string::npos) {
      Line line{.text = received_.substr(0, newline), .passed = Fd()};
      received_.erase(0, newline + 1);
      // Each of these lines brings a descriptor. The front sends both in one message, so
      // descriptors arrive in the order of their lines.
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

bool Control::send(std::string_view line) const {
  return send_with_fd(fd_, std::string(line) + '\n', -1, MSG_DONTWAIT) >= 0;
}

}  // namespace kilofork
