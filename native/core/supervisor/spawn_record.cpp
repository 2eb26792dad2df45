#include "supervisor/spawn_record.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace kilofork {

void SpawnRecord::forked(const Child& child, std::size_t alive, const Census& seen) {
  log_.record().text("have child pid ").number(child.pid);
  if (child.cause != Cause::start) log_.text(" (").text(name_of(child.cause)).text(")");
  commit();
  write_line("fork", child, "", alive, seen);
}

void SpawnRecord::retires(const Child& child, std::size_t alive, const Census& seen) {
  log_.record().text("child pid ").number(child.pid).text(" retires (");
  log_.text(name_of(child.cause)).text(")");
  commit();
  write_line("retire", child, "", alive, seen);
}

void SpawnRecord::ended(const Child& child, int status, std::size_t alive, const Census& seen) {
  const bool by_signal = WIFSIGNALED(status);
  const int code = by_signal ? WTERMSIG(status) : WEXITSTATUS(status);
  const std::string_view word = by_signal ? "signal" : "exit";
  std::string text = "child pid " + std::to_string(child.pid) + " ended: ";
  switch (child.cause) {
    case Cause::idle:
    case Cause::recycled:
    case Cause::replaced:
    case Cause::work_timeout:
      text += name_of(child.cause);
      break;
    default:
      text.append(word).append(" ").append(std::to_string(code));
  }
  const bool stopped = child.cause == Cause::stopped;
  text += is_death(child.cause) ? ", abnormal" : stopped ? ", stopped" : ", retired";
  if (!ends_.empty() || !write(text)) {
    ends_.push_back(std::move(text));
    pending_.ends++;
  }

  std::array<char, 32> how{};
  std::snprintf(how.data(), how.size(), ",\"%s\":%d", word.data(), code);
  write_line("end", child, how.data(), alive, seen);
}

void SpawnRecord::write_pending() {
  std::size_t written = 0;
  for (; written < ends_.size() && write(ends_[written]); written++) pending_.ends--;
  ends_.erase(ends_.begin(), ends_.begin() + static_cast<std::ptrdiff_t>(written));
  if (!suspended_) close_torn_heads(fd_, pending_.torn_heads);
}

bool SpawnRecord::write(std::string_view text) {
  log_.record().text(text);
  return commit();
}

void SpawnRecord::write_line(const char* event, const Child& child, std::string_view how,
                             std::size_t alive, const Census& seen) const {
  const std::string_view cause = name_of(child.cause);
  const Nanoseconds now = realtime_now();
  std::array<char, 320> line{};
  const int length = std::snprintf(
      line.data(), line.size(),
      "{\"timeMs\":%lld.%03lld,\"event\":\"%s\",\"cause\":\"%.*s\",\"pid\":%d,\"slot\":%zu%.*s,"
      "\"alive\":%zu,\"idle\":%zu,\"waiting\":%zu}\n",
      static_cast<long long>(now / kMillisecond),
      static_cast<long long>(now % kMillisecond / kMicrosecond), event,
      static_cast<int>(cause.size()), cause.data(), child.pid, child.slot,
      static_cast<int>(how.size()), how.data(), alive, seen.idle, seen.waiting);
  (void)!::write(file_, line.data(), static_cast<std::size_t>(length));
}

}  // namespace kilofork
