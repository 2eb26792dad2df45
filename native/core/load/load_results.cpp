#include "load/load_results.hpp"

namespace kilofork {

void LoadResults::clear_samples() {
  samples.connect.clear();
  samples.reply.clear();
  samples.lag.clear();
}

void LoadResults::add_failure(std::uint32_t client, Failure kind, std::string_view detail,
                              std::uint64_t times) {
  if (times == 0) return;
  LoadFailures& of_kind = failures.at(static_cast<std::size_t>(kind));
  if (of_kind.count == 0 || client < of_kind.first_client) {
    of_kind.first_client = client;
    of_kind.first_detail = detail;
  }
  of_kind.count += times;
  counts.failed += times;
}

}  // namespace kilofork
