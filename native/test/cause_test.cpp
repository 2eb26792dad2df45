#include "base/cause.hpp"

#include <set>
#include <string_view>

#include "check.hpp"

namespace kilofork {
namespace {

TEST("each cause has a name of its own, and is found by it") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kCauses; i++) {
    const auto cause = static_cast<Cause>(i);
    CHECK(!name_of(cause).empty());
    names.insert(name_of(cause));
    const auto found = cause_named(name_of(cause));
    CHECK(found.has_value());
    CHECK_EQ(*found, cause);
  }
  CHECK_EQ(names.size(), kCauses);
}

TEST("each cause has its own name, and not its neighbour's") {
  CHECK_EQ(name_of(Cause::start), "start");
  CHECK_EQ(name_of(Cause::spare_low), "spare low");
  CHECK_EQ(name_of(Cause::idle), "idle");
  CHECK_EQ(name_of(Cause::recycled), "recycled");
  CHECK_EQ(name_of(Cause::stopped), "stopped");
  CHECK_EQ(name_of(Cause::cut), "cut");
  CHECK_EQ(name_of(Cause::sick), "sick");
  CHECK_EQ(name_of(Cause::work_timeout), "work timeout");
  CHECK_EQ(name_of(Cause::orphaned), "orphaned");
}

TEST("a text that only resembles a name is no cause") {
  for (const char* text : {"", " ", "Start", "start ", " start", "star", "spare", "spare_low",
                           "work", "timeout", "work  timeout"})
    CHECK(!cause_named(text));
}

TEST("a death is an end that nobody ordered") {
  for (const Cause cause : {Cause::cut, Cause::crashed, Cause::killed, Cause::sick,
                            Cause::work_timeout, Cause::orphaned})
    CHECK(is_death(cause));
  for (const Cause cause : {Cause::start, Cause::spare_low, Cause::queue, Cause::idle,
                            Cause::recycled, Cause::replaced, Cause::asked, Cause::stopped})
    CHECK(!is_death(cause));
}

}  // namespace
}  // namespace kilofork
