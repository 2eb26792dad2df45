// A failed system call: the step that failed, and errno. Front, supervisor and the client's threads
// throw it while they set up. A child throws nothing: it handles each result of a system call.
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
