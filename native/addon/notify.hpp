// Tells the service manager the state of the server, as sd_notify(3) does. Runs in the front.
#pragma once

#include <string>

namespace kilofork {

// `state`: as in "READY=1". False if no service manager wants to know (NOTIFY_SOCKET), or it cannot
// be told.
bool notify_service_manager(const std::string& state);

}  // namespace kilofork
