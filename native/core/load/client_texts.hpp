// The texts of a client: its request, and the reply that it expects.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/protocol.hpp"
#include "load/client_table.hpp"
#include "load/load_options.hpp"

namespace kilofork {

class ClientTexts {
 public:
  // `options` outlives the object.
  explicit ClientTexts(const LoadOptions& options);

  // The present request of the client with this index, and its reply. A text is valid until the
  // next call.
  std::string_view request(std::uint32_t index, const Client& client) {
    return render(options_.request, index, client);
  }
  std::string_view reply(std::uint32_t index, const Client& client) {
    return render(options_.reply, index, client);
  }

 private:
  std::string_view render(const Template& text, std::uint32_t index, const Client& client);

  const LoadOptions& options_;
  std::vector<char> buffer_;  // has room for the longest text, so that no call allocates
};

// The start of a text, escaped and in quotes, for the detail of a failure.
std::string quoted(std::string_view text);

}  // namespace kilofork
