#include "load/client_table.hpp"

#include <algorithm>

namespace kilofork {

Nanoseconds ClientTable::next_deadline(Nanoseconds until) const {
  for (const ClientQueue queue : {ClientQueue::parked, ClientQueue::greeting, ClientQueue::reply})
    if (const auto index = first(queue)) until = std::min(until, clients_[*index].deadline);
  return until;
}

}  // namespace kilofork
