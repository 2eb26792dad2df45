// The parser of requests, compared with test/protocol-vectors.json and the TypeScript parser, and
// its edge cases; the templates.
#include "base/protocol.hpp"

#include <fstream>

#include "check.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;

void check_request(std::string_view line, bool ended, std::string_view user,
                   std::string_view message) {
  const auto request = parse_request(line, ended);
  CHECK(request.has_value());
  CHECK_EQ(request->user, user);
  CHECK_EQ(request->message, message);
}

std::string rendered(std::string_view text, const Template::Values& values) {
  const Template parsed(text);
  std::string out(parsed.size(values), '?');
  const char* const end = parsed.render(values, out.data());
  CHECK_EQ(end - out.data(), out.size());  // size() is exact
  return out;
}

// Decodes a word of a case: see parser_cases.mjs.
std::string decoded(const std::string& word) {
  std::string bytes;
  for (std::size_t i = 0; word != "-" && i < word.size(); i += 2)
    bytes += static_cast<char>(std::stoi(word.substr(i, 2), nullptr, 16));
  return bytes;
}

constexpr Template::Values kValues{
    .pid = "4711", .user = "arijort", .message = "lalala", .n = "17"};

TEST("the parser agrees with every vector, and with the TypeScript parser on random lines") {
  std::ifstream cases(PARSER_CASES);
  std::string name;
  std::string line;
  std::string user;
  std::string message;
  bool ended = false;
  std::size_t count = 0;
  std::string wrong;
  for (; cases >> name >> ended >> line >> user >> message; count++) {
    const std::string bytes = decoded(line);
    const auto request = parse_request(bytes, ended);
    const bool agrees = request ? user != "none" && request->user == decoded(user) &&
                                      request->message == decoded(message)
                                : user == "none";
    if (!agrees) wrong += decoded(name) + "; ";
  }
  CHECK_EQ(wrong, "");
  CHECK(cases.eof());
  CHECK(count > 20'000);
}

TEST("the first colon separates the user from the message") {
  check_request("arijort:lalala", true, "arijort", "lalala");
  check_request("a:b:c", true, "a", "b:c");
  check_request("a::", true, "a", ":");
}

TEST("a message may be empty and may hold any byte") {
  check_request("a:", true, "a", "");
  check_request("a:\0\r\x80\xff"s, true, "a", "\0\r\x80\xff"s);
}

TEST("a line without a colon, or without a user, is no request") {
  for (const std::string& line : {""s, "\r"s, "arijort"s, ":"s, ":message"s, "::"s})
    for (const bool ended : {true, false}) CHECK(!parse_request(line, ended));
}

TEST("a user has 1 to 31 bytes, and may hold any but a colon") {
  check_request(std::string(31, 'u') + ":m", true, std::string(31, 'u'), "m");
  CHECK(!parse_request(std::string(32, 'u') + ":m", true));
  CHECK(!parse_request(std::string(32, 'u'), true));
  check_request(" a\0\t :m"s, true, " a\0\t "s, "m");
}

TEST("one carriage return before the newline is dropped, a second one stays") {
  check_request("a:b\r", true, "a", "b");
  check_request("a:b\r\r", true, "a", "b\r");
  check_request("a:\r", true, "a", "");
  check_request("a:b\rc", true, "a", "b\rc");
}

TEST("where end of file ends the line, its carriage return is a part of the message") {
  check_request("a:b\r", false, "a", "b\r");
  check_request("a:\r", false, "a", "\r");
}

TEST("a carriage return never makes a user of 31 bytes too long, nor one of 32 short enough") {
  CHECK(!parse_request(std::string(31, 'u') + "\r", true));
  CHECK(!parse_request(std::string(31, 'u') + "\r:m", true));
  check_request(std::string(30, 'u') + "\r:m", true, std::string(30, 'u') + "\r", "m");
}

TEST("each refusal has a name of its own") {
  for (std::size_t i = 0; i < kRefusals; i++) {
    const auto refusal = static_cast<Refusal>(i);
    CHECK(refusal_named(name_of(refusal)) == refusal);
  }
  CHECK_EQ(name_of(Refusal::too_long), "too-long");
  CHECK_EQ(name_of(Refusal::shutting_down), "shutting-down");
  for (const char* stranger : {"", "too_long", "too-lon", "too-long ", "Protocol"})
    CHECK(!refusal_named(stranger));
}

TEST("a template renders its fields, in any order and as often as they occur") {
  CHECK_EQ(rendered("this is server thread {pid}\n", kValues), "this is server thread 4711\n");
  CHECK_EQ(rendered("{message}{user}{n}{pid}{message}", kValues), "lalalaarijort174711lalala");
  CHECK_EQ(rendered("no field", kValues), "no field");
  CHECK_EQ(rendered("", kValues), "");
  CHECK_EQ(rendered("{n}", kValues), "17");
}

TEST("braces around anything but a field's name stay") {
  for (const char* text : {"{", "}", "{}", "}}", "{pid", "pid}", "{ pid}", "{PID}", "{pids}",
                           "{\"json\": {}}", "{unknown} {"})
    CHECK_EQ(rendered(text, kValues), text);
  CHECK_EQ(rendered("{a{n}b}", kValues), "{a17b}");
}

TEST("two opening braces are one brace that begins no field") {
  CHECK_EQ(rendered("{{", kValues), "{");
  CHECK_EQ(rendered("{{pid}", kValues), "{pid}");
  CHECK_EQ(rendered("{{{{", kValues), "{{");
  CHECK_EQ(rendered("{{{", kValues), "{{");
  CHECK_EQ(rendered("{{{n}}}", kValues), "{17}}");
  CHECK_EQ(rendered("{{{{pid}{n}", kValues), "{{pid}17");
}

TEST("a value that holds braces is not rendered again") {
  CHECK_EQ(
      rendered("{message}-{user}", {.pid = "1", .user = "{pid}", .message = "{user}", .n = "2"}),
      "{user}-{pid}");
}

TEST("values may be empty, long, and hold zero bytes") {
  const std::string message = "a\0b"s + std::string(10000, 'x');
  CHECK_EQ(rendered("<{user}|{message}>", {.pid = {}, .user = {}, .message = message, .n = {}}),
           "<|" + message + ">");
}

TEST("a template keeps no empty parts") {
  CHECK(Template("").parts().empty());
  CHECK(Template().parts().empty());
  CHECK_EQ(Template("{pid}").parts().size(), 1);
  CHECK_EQ(Template("a{pid}b").parts().size(), 2);
}

}  // namespace
}  // namespace kilofork
