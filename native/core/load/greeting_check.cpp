#include "load/greeting_check.hpp"

#include <charconv>

namespace kilofork {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

GreetingCheck check_greeting(const Template& greeting, std::string_view bytes, Client& client) {
  std::size_t used = 0;
  // A position in the literals alone: digits of the pid are not counted.
  std::uint32_t& position = client.done_bytes;
  std::size_t literal_end = 0;
  for (const Template::Part& part : greeting.parts()) {
    const std::size_t literal_start = literal_end;
    literal_end += part.literal.size();
    for (; position < literal_end && used < bytes.size(); position++, used++)
      if (bytes[used] != part.literal[position - literal_start]) return GreetingCheck::wrong;
    if (position < literal_end) return GreetingCheck::incomplete;
    const bool has_pid = position > literal_end;
    if (part.field != Template::Field::pid || has_pid) continue;
    while (used < bytes.size() && is_digit(bytes[used]) && client.pid_length < client.pid.size())
      client.pid.at(client.pid_length++) = bytes[used++];
    if (used == bytes.size()) return GreetingCheck::incomplete;
    if (client.pid_length == 0) return GreetingCheck::wrong;
  }
  if (used < bytes.size()) return GreetingCheck::excess;
  const char* const pid_end = client.pid.data() + client.pid_length;
  if (client.pid_length > 0 &&
      std::from_chars(client.pid.data(), pid_end, client.pid_number).ec != std::errc{})
    return GreetingCheck::pid_too_large;
  return GreetingCheck::complete;
}

void take_pid_of_reply(const Template& reply, std::string_view bytes, Client& client) {
  std::size_t at = 0;
  for (const Template::Part& part : reply.parts()) {
    at += part.literal.size();
    if (part.field == Template::Field::pid) break;
    if (part.field != Template::Field::none) return;
  }
  at += client.pid_length;
  if (at < client.done_bytes) return;
  for (at -= client.done_bytes; at < bytes.size() && is_digit(bytes[at]); at++) {
    if (client.pid_length == client.pid.size()) return;
    client.pid.at(client.pid_length++) = bytes[at];
  }
}

}  // namespace kilofork
