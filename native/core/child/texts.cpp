#include "child/texts.hpp"

#include <algorithm>
#include <charconv>

#include "log/append_log.hpp"

namespace kilofork {

// A record is longer than the reply to the same message, because of its escapes, unless the
// template of the reply is long.
std::size_t Texts::buffer_bytes(const Service& service) {
  const Template::Values longest_names{
      .pid = "4194304", .user = "1234567890123456789012345678901", .message = {}, .n = {}};
  return std::max(AppendLog::buffer_bytes(service.max_line),
                  service.reply.size(longest_names) + service.max_line);
}

Texts::Texts(const Service& service, pid_t pid, std::span<char> buffer)
    : service_(service), buffer_(buffer) {
  char* const end = std::to_chars(pid_text_.data(), pid_text_.data() + pid_text_.size(), pid).ptr;
  pid_ = {pid_text_.data(), static_cast<std::size_t>(end - pid_text_.data())};
}

std::string_view Texts::greeting() {
  return render(service_.greeting, {.pid = pid_, .user = {}, .message = {}, .n = {}});
}

std::string_view Texts::reply(const Request& request) {
  return render(service_.reply,
                {.pid = pid_, .user = request.user, .message = request.message, .n = {}});
}

std::string_view Texts::render(const Template& text, const Template::Values& values) {
  const char* const end = text.render(values, buffer_.data());
  return {buffer_.data(), static_cast<std::size_t>(end - buffer_.data())};
}

}  // namespace kilofork
