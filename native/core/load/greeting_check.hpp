// Compares a greeting with its template as it comes, byte by byte; takes digits in the place of
// {pid}. Makes no system call.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/protocol.hpp"
#include "load/client_table.hpp"

namespace kilofork {

enum class GreetingCheck : std::uint8_t {
  incomplete,  // right so far
  complete,
  wrong,          // another text than the greeting
  excess,         // a greeting, and more bytes after it
  pid_too_large,  // a greeting whose pid is no number of 32 bits
};

// `bytes`: what came since the last call for this connection. Keeps the progress in
// Client::done_bytes, and the pid in Client::pid, pid_length and, when complete, pid_number.
GreetingCheck check_greeting(const Template& greeting, std::string_view bytes, Client& client);

// Puts the digits in the place of the reply's first {pid} into Client::pid, as far as they are in
// `bytes`, which came after Client::done_bytes of the reply.
void take_pid_of_reply(const Template& reply, std::string_view bytes, Client& client);

}  // namespace kilofork
