#include "process/cgroup.hpp"

#include <initializer_list>
#include <utility>

#include "check.hpp"
#include "sandbox.hpp"

namespace kilofork {
namespace {

// Files of a machine that is not this one: a path in /sys/fs/cgroup, and what is in it.
using Files = std::initializer_list<std::pair<std::string, std::string>>;
CgroupLimits limits_of(const std::string& self, Files files) {
  const std::filesystem::path root = check::folder() / "root";
  std::filesystem::remove_all(root);
  const auto put = [](const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  };
  put(root / "proc/self/cgroup", self);
  for (const auto& [path, text] : files) put(root / "sys/fs/cgroup" / path, text);
  return cgroup_limits(root);
}

TEST("version 2: the memory left is memory.max less what is in use and no cache") {
  const auto [memory, tasks] =
      limits_of("0::/system.slice/it.service\n",
                {{"system.slice/it.service/memory.max", "1000\n"},
                 {"system.slice/it.service/memory.high", "max\n"},
                 {"system.slice/it.service/memory.current", "700\n"},
                 {"system.slice/it.service/memory.stat",
                  "anon 250\nfile 450\ninactive_anon 7\ninactive_file 150\nactive_file 300\n"}});
  CHECK_EQ(memory.most, 1000);
  CHECK_EQ(memory.used, 250);
  CHECK_EQ(memory.left(), 750);
  CHECK_EQ(tasks.left(), SIZE_MAX);
}

TEST("version 2: memory.high counts like memory.max where it is lower") {
  const auto memory_of = [](const std::string& high, const std::string& max) {
    return limits_of(
               "0::/it\n",
               {{"it/memory.high", high}, {"it/memory.max", max}, {"it/memory.current", "100\n"}})
        .memory;
  };
  CHECK_EQ(memory_of("600\n", "1000\n").left(), 500);
  CHECK_EQ(memory_of("600\n", "max\n").most, 600);
  CHECK_EQ(memory_of("2000\n", "1000\n").most, 1000);
  CHECK_EQ(memory_of("max\n", "max\n").left(), SIZE_MAX);
}

TEST("version 2: the limit that leaves least counts, from the cgroup up to the root") {
  const auto left = [](const std::string& slice, const std::string& service) {
    const CgroupLimits limits = limits_of("0::/a.slice/b.slice/it.service\n",
                                          {{"a.slice/memory.max", slice},
                                           {"a.slice/memory.current", "600\n"},
                                           {"a.slice/pids.max", "max\n"},
                                           {"a.slice/b.slice/memory.max", "max\n"},
                                           {"a.slice/b.slice/pids.max", "50\n"},
                                           {"a.slice/b.slice/pids.current", "20\n"},
                                           {"a.slice/b.slice/it.service/memory.max", service},
                                           {"a.slice/b.slice/it.service/memory.current", "100\n"},
                                           {"a.slice/b.slice/it.service/pids.max", "40\n"},
                                           {"a.slice/b.slice/it.service/pids.current", "5\n"}});
    CHECK_EQ(limits.tasks.most, 50);
    CHECK_EQ(limits.tasks.left(), 30);
    return limits.memory.left();
  };
  CHECK_EQ(left("1000\n", "450\n"), 350);  // by its own
  CHECK_EQ(left("1000\n", "900\n"), 400);  // by that of all
  CHECK_EQ(left("500\n", "900\n"), 0);     // a limit that was lowered: more is in use than that
}

TEST("version 1: each controller has a hierarchy, and counts of its own names for those below") {
  const auto [memory, tasks] = limits_of(
      "9:name=systemd:/other\n8:pids:/a/it\n4:cpu,memory:/a/it\n0::/\n",
      {{"memory/a/it/memory.limit_in_bytes", "9223372036854771712\n"},
       {"memory/a/it/memory.usage_in_bytes", "100\n"},
       {"memory/a/memory.limit_in_bytes", "1000\n"},
       {"memory/a/memory.usage_in_bytes", "700\n"},
       {"memory/a/memory.stat",
        "inactive_file 1\nactive_file 1\ntotal_inactive_file 150\ntotal_active_file 300\n"},
       {"memory/memory.limit_in_bytes", "9223372036854771712\n"},
       {"memory/memory.usage_in_bytes", "5000\n"},
       {"pids/a/it/pids.max", "30\n"},
       {"pids/a/it/pids.current", "12\n"},
       {"pids/a/pids.max", "max\n"}});
  CHECK_EQ(memory.most, 1000);
  CHECK_EQ(memory.used, 250);
  CHECK_EQ(tasks.most, 30);
  CHECK_EQ(tasks.used, 12);
}

TEST("in a container that shows the path of the machine, the root of what is mounted counts") {
  CHECK_EQ(limits_of("4:memory:/docker/0123\n", {{"memory/memory.limit_in_bytes", "1000\n"},
                                                 {"memory/memory.usage_in_bytes", "400\n"}})
               .memory.left(),
           600);
  CHECK_EQ(limits_of("0::/../..\n", {{"memory.max", "1000\n"}, {"memory.current", "300\n"}})
               .memory.left(),
           700);
}

TEST("what cannot be read is no limit") {
  for (const std::string self :
       {"", "\n", "0::\n", "0:\n", "4:memory:\n", "0::/it", "7:pids:/it\n"}) {
    const auto [memory, tasks] = limits_of(self, {});
    CHECK_EQ(memory.left(), SIZE_MAX);
    CHECK_EQ(tasks.left(), SIZE_MAX);
  }
  CHECK_EQ(limits_of("0::/it", {{"it/memory.max", "no number\n"}}).memory.left(), SIZE_MAX);
  CHECK_EQ(limits_of("0::/it", {{"it/pids.max", "20\n"}}).tasks.left(), 20);
}

}  // namespace
}  // namespace kilofork
