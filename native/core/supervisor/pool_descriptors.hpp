// The supervisor's descriptors, and which of them each process keeps: children, forker, syncer, and
// the next executable of the supervisor. All others are closed, by keep_only() of
// process/descriptors.hpp or on exec. Runs in the supervisor.
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
  int front;        // pidfd_open(2) of the front, or -1; each executable opens it anew
  int publish_log;  // the two ends of log/log_broadcast.hpp
  int receive_log;

  // The forker keeps these, too, and the socket of its orders, which children close.
  // `accepting`: without a keeper.
  [[nodiscard]] std::vector<int> of_children(bool accepting) const {
    std::vector<int> kept{inherited.log, inherited.segment, inherited.lifeline, wakeup,
                          front,         receive_log};
    if (accepting) kept.push_back(inherited.listener);
    return kept;
  }
  // And the listener, its socket to the supervisor, and those to children.
  [[nodiscard]] std::vector<int> of_keeper() const {
    return {inherited.segment, inherited.lifeline, wakeup};
  }
  // And its inbox.
  [[nodiscard]] std::vector<int> of_syncer() const {
    return {inherited.segment, inherited.lifeline, wakeup};
  }
  // And the inbox of the syncer, if there is one.
  [[nodiscard]] std::vector<int> across_exec() const {
    const auto& [listener, log, segment, lifeline, spawn_log] = inherited;
    return {control, listener, log, segment, lifeline, spawn_log, wakeup, publish_log, receive_log};
  }
};

}  // namespace kilofork
