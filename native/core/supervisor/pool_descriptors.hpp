// The supervisor's descriptors, and which of them each process keeps that it forks or becomes.
// Whoever adds one adds it here. See process/descriptors.hpp.
#pragma once

#include <vector>

namespace kilofork {

// Given by the front.
struct InheritedDescriptors {
  int listener;
  int log;
  int segment;
  int lifeline;
  int spawn_log;
};

struct PoolDescriptors {
  InheritedDescriptors inherited;
  int control;
  int wakeup;       // eventfd(2), see process/wakeup.hpp
  int publish_log;  // the two ends of log/log_broadcast.hpp
  int receive_log;

  // The forker has its orders besides.
  [[nodiscard]] std::vector<int> of_children() const {
    return {inherited.listener, inherited.log, inherited.segment,
            inherited.lifeline, wakeup,        receive_log};
  }
  // It has an inbox besides.
  [[nodiscard]] std::vector<int> of_syncer() const {
    return {inherited.segment, inherited.lifeline, wakeup};
  }
  // The next executable of the supervisor has the inbox of the syncer besides.
  [[nodiscard]] std::vector<int> across_exec() const {
    const auto& [listener, log, segment, lifeline, spawn_log] = inherited;
    return {control, listener, log, segment, lifeline, spawn_log, wakeup, publish_log, receive_log};
  }
};

}  // namespace kilofork
