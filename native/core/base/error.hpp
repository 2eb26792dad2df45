// A failed system call: what was tried, on what, and errno.
//
// Set-up code throws it (front and supervisor, before they serve). What a child does for a
// client never throws: there, every result of a system call is a case of its own.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>

namespace kilofork {

struct SystemError : std::runtime_error {
  SystemError(const std::string& step, int error_number);
  int code;  // an errno value
};

// Throws SystemError with the present errno.
[[noreturn]] void fail(const std::string& step);

}  // namespace kilofork
