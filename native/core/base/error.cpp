#include "base/error.hpp"

#include <cstring>

namespace kilofork {

SystemError::SystemError(const std::string& step, int error_number)
    : std::runtime_error(step + ": " + std::strerror(error_number)), code(error_number) {}

void fail(const std::string& step) {
  throw SystemError(step, errno);
}

}  // namespace kilofork
