#include "shm/header.hpp"

namespace kilofork {

namespace {

constexpr std::array<std::string_view, kGrowthLimits> kGrowthLimitNames{"none", "maximum", "memory",
                                                                        "processes", "births"};
constexpr std::array<std::string_view, kOrders> kOrderNames{"reload", "reopen", "replace"};

}  // namespace

std::string_view name_of(GrowthLimit limit) {
  return kGrowthLimitNames.at(static_cast<std::size_t>(limit));
}

std::string_view name_of(Order order) {
  return kOrderNames.at(static_cast<std::size_t>(order));
}

}  // namespace kilofork
