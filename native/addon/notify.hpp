// Tells the service manager how the server is: sd_notify(3), without its library.
#pragma once

#include <string>

namespace kilofork {

// E.g. "READY=1". False when there is no service manager that wants to know (NOTIFY_SOCKET), or it
// cannot be told.
bool notify_service_manager(const std::string& state);

}  // namespace kilofork
