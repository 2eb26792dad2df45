#include "supervisor/sizing.hpp"

#include <algorithm>

namespace kilofork {

namespace {
std::size_t beyond(std::size_t value, std::size_t limit) {
  return value > limit ? value - limit : 0;
}
}  // namespace

void Sizing::begin(const Census& census, Nanoseconds now) {
  finished_ = census.finished;
  sampled_at_ = now;
  missing_spare_ = 0;
}

Need Sizing::sample(const Census& census, Nanoseconds now) {
  const Nanoseconds elapsed = std::max(now - sampled_at_, kSampleEvery);
  const std::int64_t finished = std::max<std::int64_t>(census.finished - finished_, 0);
  const auto leaving = static_cast<std::size_t>(finished * kSoon / elapsed);
  const std::size_t served = census.idle + leaving;  // can be accepted within kSoon

  const std::size_t room = beyond(bounds_.max, census.alive);
  const std::size_t queue = std::min(beyond(census.waiting, served), room);
  const std::size_t missing_spare = beyond(census.waiting + bounds_.min_spare, served) - queue;
  // Spare children must be missing in two samples.
  const std::size_t spare =
      std::min({missing_spare, missing_spare_, room - queue, bounds_.min_spare});

  finished_ = census.finished;
  sampled_at_ = now;
  missing_spare_ = missing_spare;
  return {.queue = queue, .spare = spare};
}

std::size_t Sizing::surplus(std::size_t idle, Nanoseconds now) {
  std::size_t& low = lows_.at(step_);
  low = std::min(low, idle);
  if (now < step_ends_) return 0;

  const std::size_t least = *std::min_element(lows_.begin(), lows_.end());
  const std::size_t unneeded = step_ends_ == 0 ? 0 : beyond(least, bounds_.max_spare);
  const std::size_t retired = (unneeded + kSteps - 1) / kSteps;
  for (std::size_t& each : lows_) each -= std::min(each, retired);
  step_ = (step_ + 1) % kSteps;
  lows_.at(step_) = idle - retired;
  step_ends_ = now + bounds_.shrink_after / static_cast<Nanoseconds>(kSteps);
  return retired;
}

}  // namespace kilofork
