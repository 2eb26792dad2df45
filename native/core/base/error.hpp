// A failed system call: the step, and errno. Code that sets up throws it, in front and supervisor.
// Code that serves a client throws nothing: it handles each result of a system call.
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>

namespace kilofork {

struct SystemError : std::runtime_error {
  SystemError(const std::string& step, int error_number);
  int code;  // an errno value
};

// Throws SystemError with the current errno.
[[noreturn]] void fail(const std::string& step);

}  // namespace kilofork
