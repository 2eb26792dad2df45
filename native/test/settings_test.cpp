#include "supervisor/settings.hpp"

#include <cerrno>

#include "base/error.hpp"
#include "check.hpp"

namespace kilofork {
namespace {

TEST("each setting goes to its place") {
  PoolSettings settings;
  for (const char* line : {"work sleep 3000000000",
                           "ack synced",
                           "max-line 1024",
                           "idle-timeout 1",
                           "read-timeout 2",
                           "write-timeout 3",
                           "linger-timeout 4",
                           "grace 10000000000",
                           "first-back-off 5",
                           "longest-back-off 9223372036854775807",
                           "work-timeout 6",
                           "max-requests 7",
                           "max-requests-jitter 8",
                           "start-children 9",
                           "min-spare 10",
                           "max-spare 11",
                           "max-children 12",
                           "shrink-after 13",
                           "bytes-per-child 14",
                           "memory-reserve 15",
                           "max-per-address 16",
                           "log-epoch 17",
                           "greeting this is server thread {pid}",
                           "reply server {pid} recvd message \"{message}\" from user {user}"})
    CHECK(apply_setting(settings, line));
  const Service& service = settings.service;
  CHECK(service.work.kind == Work::Kind::sleep);
  CHECK_EQ(service.work.duration, 3 * kSecond);
  CHECK(service.synced);
  CHECK(apply_setting(settings, "ack copied") && service.synced && settings.spooled);
  CHECK(apply_setting(settings, "ack written") && !service.synced && !settings.spooled);
  CHECK(!apply_setting(settings, "ack ") && !apply_setting(settings, "ack sometimes"));
  CHECK_EQ(service.max_line, 1024);
  CHECK_EQ(service.idle_timeout, 1);
  CHECK_EQ(service.read_timeout, 2);
  CHECK_EQ(service.write_timeout, 3);
  CHECK_EQ(service.linger_timeout, 4);
  CHECK_EQ(settings.grace, 10 * kSecond);
  CHECK_EQ(settings.first_back_off, 5);
  CHECK_EQ(settings.longest_back_off, INT64_MAX);
  CHECK_EQ(service.work_timeout, 6);
  CHECK_EQ(service.max_requests, 7);
  CHECK_EQ(service.max_requests_jitter, 8);
  CHECK_EQ(settings.bounds.start, 9);
  CHECK_EQ(settings.bounds.min_spare, 10);
  CHECK_EQ(settings.bounds.max_spare, 11);
  CHECK_EQ(settings.bounds.max, 12);
  CHECK_EQ(settings.bounds.shrink_after, 13);
  CHECK_EQ(settings.bytes_per_child, 14);
  CHECK_EQ(settings.memory_reserve, 15);
  CHECK_EQ(service.max_per_address, 16);
  CHECK_EQ(settings.log_epoch, 17);
  const Template::Values values{.pid = "1", .user = "u", .message = "m", .n = {}};
  std::string text(service.greeting.size(values), '?');
  service.greeting.render(values, text.data());
  CHECK_EQ(text, "this is server thread 1\n");
  text.resize(service.reply.size(values));
  service.reply.render(values, text.data());
  CHECK_EQ(text, "server 1 recvd message \"m\" from user u\n");
}

TEST("each kind of work is understood") {
  PoolSettings settings;
  CHECK(apply_setting(settings, "work none"));
  CHECK(settings.service.work.kind == Work::Kind::none);
  CHECK(apply_setting(settings, "work spin 250000"));
  CHECK(settings.service.work.kind == Work::Kind::spin);
  CHECK_EQ(settings.service.work.duration, 250'000);
}

TEST("each refusal has a text of its own, spaces and all") {
  PoolSettings settings;
  for (std::size_t i = 0; i < kRefusals; i++) {
    const std::string name(name_of(static_cast<Refusal>(i)));
    CHECK(apply_setting(settings, "refusal " + name + " error " + name + ": why  not "));
  }
  for (std::size_t i = 0; i < kRefusals; i++) {
    const std::string name(name_of(static_cast<Refusal>(i)));
    CHECK_EQ(settings.service.refusals.at(i), "error " + name + ": why  not \n");
  }
}

TEST("an unknown setting is refused") {
  PoolSettings settings;
  for (const char* line : {"", " ", "nonsense", "nonsense 1", "max-lines 1", "Max-line 1",
                           " max-line 1", "work nap 1", "refusal nonsense text"})
    CHECK(!apply_setting(settings, line));
}

TEST("a malformed value is refused") {
  PoolSettings settings;
  for (const char* value : {"", " ", "x", "1x", "1 2", " 1", "1 ", "0x10", "1s", "1.5", "+1"})
    for (const char* name :
         {"max-line ", "grace ", "work sleep ", "work spin ", "work-timeout ", "max-requests ",
          "max-requests-jitter ", "start-children ", "min-spare ", "max-spare ", "max-children ",
          "shrink-after ", "bytes-per-child ", "memory-reserve "})
      CHECK(!apply_setting(settings, std::string(name).append(value)));
  for (const char* line : {"max-line", "max-line -1", "max-line 99999999999999999999", "grace",
                           "grace 9223372036854775808", "process-per", "process-per child", "work",
                           "work sleep", "work none 1", "refusal", "refusal too_long text"})
    CHECK(!apply_setting(settings, line));
}

// All settings of a server, without the lines that begin with `left_out`, and with `added`.
std::vector<std::string> whole(std::string_view left_out = "\n", const std::string& added = {}) {
  std::vector<std::string> lines{"process-per connection",
                                 "work none",
                                 "work-timeout 0",
                                 "ack written",
                                 "max-line 1024",
                                 "idle-timeout 1",
                                 "read-timeout 2",
                                 "write-timeout 3",
                                 "linger-timeout 4",
                                 "max-per-address 0",
                                 "max-requests 0",
                                 "max-requests-jitter 0",
                                 "greeting hello",
                                 "reply {message}",
                                 "start-children 5",
                                 "min-spare 2",
                                 "max-spare 7",
                                 "max-children 10",
                                 "shrink-after 5",
                                 "bytes-per-child 14",
                                 "memory-reserve 15",
                                 "log-epoch 1",
                                 "grace 6",
                                 "first-back-off 7",
                                 "longest-back-off 8"};
  for (const std::string_view code : kRefusalNames)
    lines.push_back("refusal " + std::string(code) + " error");
  std::erase_if(lines, [&](const std::string& line) { return line.starts_with(left_out); });
  if (!added.empty()) lines.push_back(added);
  return lines;
}

// What is wrong with the lines; empty if nothing is.
std::string problem_of(const std::vector<std::string>& lines, std::size_t slots = 10) {
  try {
    parse_settings(lines, slots);
    return {};
  } catch (const SystemError& error) {
    CHECK_EQ(error.code, EINVAL);
    return error.what();
  }
}

TEST("a whole set of settings is accepted") {
  CHECK_EQ(problem_of(whole()), "");
  CHECK_EQ(parse_settings(whole(), 10).bounds.max_spare, 7);
}

TEST("a setting that is missing is named, whichever it is") {
  for (const std::string_view name : setting_names())
    CHECK(problem_of(whole(std::string(name) + ' '))
              .starts_with("setting \"" + std::string(name) + "\" is missing"));
  CHECK(problem_of(whole("refusal busy")).starts_with("setting \"refusal busy\" is missing"));
}

TEST("a setting that is unknown or malformed is named") {
  CHECK(problem_of(whole("\n", "max-lines 1")).starts_with("setting \"max-lines\" is unknown"));
  CHECK(problem_of(whole("max-line", "max-line 1s"))
            .starts_with("setting \"max-line\" has a malformed value \"1s\""));
  CHECK(problem_of(whole("grace", "grace -1")).starts_with("setting \"grace\" has a malformed"));
}

TEST("more children than slots are refused") {
  CHECK_EQ(problem_of(whole(), 10), "");
  CHECK_EQ(problem_of(whole(), 11), "");
  CHECK(problem_of(whole(), 9)
            .starts_with("setting \"max-children\" is 10, and the segment has 9 slots"));
}

TEST("settings that contradict each other are refused") {
  for (const auto& [line, name] : {std::pair{"start-children 11", "start-children"},
                                   {"min-spare 8", "min-spare"},
                                   {"max-children 0", "max-children"},
                                   {"max-children 4", "start-children"},
                                   {"bytes-per-child 0", "bytes-per-child"},
                                   {"max-line 0", "max-line"},
                                   {"first-back-off 9", "first-back-off"}}) {
    const std::string word = std::string(line).substr(0, std::string(line).find(' ') + 1);
    CHECK(problem_of(whole(word, line)).starts_with("setting \"" + std::string(name) + "\" is "));
  }
}

}  // namespace
}  // namespace kilofork
