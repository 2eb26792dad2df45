// The load engine against faulty servers.
#include <sys/socket.h>

#include "base/error.hpp"
#include "check.hpp"
#include "load_harness.hpp"

namespace kilofork {
namespace {

using namespace std::string_literals;
using check::Conversation;
using check::Load;
using check::load_options;
using check::ScriptedServer;

// A port that is bound and not listened on: it refuses connections.
struct RefusingPort {
  RefusingPort() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Endpoint any("127.0.0.1", 0);
    CHECK_EQ(::bind(fd.get(), any.get(), any.length()), 0);
    port = Endpoint::of_socket(fd.get()).port();
  }
  Fd fd;
  std::uint16_t port = 0;
};

// Runs one client with one request, and checks how it fails.
void check_one_failure(ScriptedServer::Script script, Failure kind, std::string_view detail,
                       std::uint64_t sent = 1) {
  ScriptedServer server(std::move(script));
  LoadOptions options = load_options(server.port());
  options.first_number = 17;
  Load load(options);
  load.run();
  load.check(sent, 0, 1, kind);
  CHECK_EQ(load.failures(kind).first_client, 17);
  CHECK_EQ(load.failures(kind).first_detail, detail);
  CHECK_EQ(load.counts().settled, 1);
}

TEST("one wrong byte in a reply is found, wherever it is") {
  for (const std::size_t place : {0UL, 10UL, 31UL, 32UL}) {
    ScriptedServer server([place](Conversation& with) {
      with.greet();
      std::string reply = with.reply(with.line());
      reply.at(place) ^= 1;
      with.send(reply);
      with.wait_for_end();
    });
    Load load(load_options(server.port()));
    load.run();
    load.check(1, 0, 1, Failure::mismatch);
  }
}

TEST("the detail of a wrong reply has the right one too") {
  check_one_failure(
      [](Conversation& with) {
        with.greet();
        with.line();
        with.send("server 1001 got ");
        ::usleep(5000);
        with.send("nothing\n");
      },
      Failure::mismatch,
      R"(expected "server 1001 got arijort:lalala 17\x0a", got "server 1001 got nothing\x0a")");
}

TEST("a reply with another pid, client or request number is wrong") {
  for (const char* reply :
       {"server 1002 got arijort:lalala 1\n", "server 1001 got arijort:lalala 2\n",
        "server 1001 got arijort:lalala 1.1\n", "\n", "server 1001 got arijort:lalala 1\n\n"}) {
    ScriptedServer server([reply](Conversation& with) {
      with.greet();
      with.line();
      with.send(reply);
      with.wait_for_end();
    });
    Load load(load_options(server.port()));
    load.run();
    load.check(1, 0, 1, Failure::mismatch);
  }
}

TEST("bytes that come without a request are wrong") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    ::usleep(5000);
    with.send("hello?\n");
    with.wait_for_end();
  });
  LoadOptions options = load_options(server.port());
  options.barrier = true;
  Load load(options);
  load.run();
  load.check(0, 0, 1, Failure::mismatch);
  CHECK_EQ(load.failures(Failure::mismatch).first_detail, R"(unasked for: "hello?\x0a")");
}

TEST("a refusal is no wrong reply, whenever it comes") {
  const std::string_view detail = R"("error busy: \x07 too many")";
  check_one_failure(
      [](Conversation& with) {
        with.send("error busy: \a too many\n");
        with.wait_for_end();
      },
      Failure::refused, detail, 0);
  check_one_failure(
      [](Conversation& with) {
        with.greet();
        with.line();
        with.send("error busy: \a too many\n");
        with.wait_for_end();
      },
      Failure::refused, detail);

  for (const bool at_once : {true, false}) {
    ScriptedServer server([at_once](Conversation& with) {
      const std::string refusal = "error timeout: too slow\n";
      if (at_once) {
        with.send(with.greeting() + refusal);
      } else {
        with.greet();
        ::usleep(5000);
        with.send(refusal);
      }
      with.wait_for_end();
    });
    LoadOptions options = load_options(server.port());
    options.barrier = true;
    Load load(options);
    load.run();
    load.check(0, 0, 1, Failure::refused);
    CHECK_EQ(load.failures(Failure::refused).first_detail, R"("error timeout: too slow")");
  }
}

TEST("a server that closes before its reply, or in the middle of it, has lost the request") {
  check_one_failure(
      [](Conversation& with) {
        with.greet();
        with.line();
      },
      Failure::lost, "closed by the server");
  check_one_failure(
      [](Conversation& with) {
        with.greet();
        const std::string reply = with.reply(with.line());
        with.send(reply.substr(0, reply.size() - 2));  // its newline and one byte more
      },
      Failure::lost, "closed by the server");
}

TEST("a connection that is reset has lost the request") {
  check_one_failure(
      [](Conversation& with) {
        with.greet();
        with.line();
        with.reset();
      },
      Failure::lost, "Connection reset by peer");
}

TEST("a server that never answers fails the request after the timeout") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    with.wait_for_end();
  });
  LoadOptions options = load_options(server.port(), 3, 1);
  options.reply_timeout = 20 * kMillisecond;
  Load load(options);
  load.run();
  load.check(3, 0, 3, Failure::timeout);
}

TEST("a reply that comes too late is not taken for that of the next request") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    for (std::string request; !(request = with.line()).empty();) {
      if (with.number() == 1) ::usleep(300'000);
      with.send(with.reply(request));
    }
  });
  LoadOptions options = load_options(server.port(), 1, 3);
  options.reply_timeout = 200 * kMillisecond;
  Load load(options);
  load.run();
  load.check(3, 2, 1, Failure::timeout);
  CHECK_EQ(server.connections(), 2);
}

TEST("a server that accepts but never greets fails the request after the timeout") {
  ScriptedServer server([](Conversation& with) {
    with.send("this is server thr");
    with.wait_for_end();
  });
  LoadOptions options = load_options(server.port(), 2, 1);
  options.connect_timeout = 20 * kMillisecond;
  Load load(options);
  load.run();
  load.check(0, 0, 2, Failure::ungreeted);
  CHECK_EQ(load.counts().greeted, 0);
  CHECK_EQ(load.counts().settled, 2);
}

TEST("another text than the greeting fails the request, with that text as its detail") {
  check_one_failure(
      [](Conversation& with) {
        with.send("errors unavailable: no log\n");
        with.wait_for_end();
      },
      Failure::greeting, R"(got "errors unavailable: no log\x0a")", 0);
  check_one_failure(
      [](Conversation& with) {
        with.send("this is server thread 1001\nand more");
        with.wait_for_end();
      },
      Failure::greeting, R"(got "this is server thread 1001\x0aand more" after the greeting)", 0);
}

TEST("a greeting whose pid is missing, no number, or too large is wrong") {
  for (const char* greeting :
       {"this is server thread \n", "this is server thread x\n", "this is server thread -1\n",
        "this is server thread 1 \n", "this is server thread 99999999999\n",
        "this is server thread 9999999999\n"}) {
    ScriptedServer server([greeting](Conversation& with) {
      with.send(greeting);
      with.wait_for_end();
    });
    LoadOptions options = load_options(server.port());
    options.reply_timeout = 20 * kMillisecond;  // where it is taken for one, the run still ends
    Load load(options);
    load.run();
    load.check(0, 0, 1, Failure::greeting);
  }
}

TEST("a server that closes instead of greeting fails the request") {
  check_one_failure([](Conversation&) {}, Failure::lost, "closed by the server", 0);
}

TEST("a lost request is never sent again; the client reconnects for the rest") {
  ScriptedServer server([](Conversation& with) {
    if (with.number() > 1) return with.serve();
    with.greet();
    with.send(with.reply(with.line()));
    with.line();
  });
  Load load(load_options(server.port(), 1, 5));
  load.run();
  load.check(5, 4, 1, Failure::lost);
  CHECK_EQ(server.connections(), 2);
  CHECK_EQ(load.counts().connections, 2);
  CHECK_EQ(load.counts().greeted, 1);
}

TEST("a client that is refused three times in a row gives up; its unsent requests are counted") {
  const RefusingPort refusing;
  Load load(load_options(refusing.port, 2, 10));
  load.run();
  CHECK_EQ(load.counts().sent, 0);
  CHECK_EQ(load.counts().failed, 20);
  CHECK_EQ(load.failures(Failure::connect).count, 6);
  CHECK_EQ(load.failures(Failure::connect).first_detail, "Connection refused");
  CHECK_EQ(load.failures(Failure::unsent).count, 14);
  CHECK_EQ(load.counts().settled, 2);
}

TEST("a client with one request that is refused fails once") {
  const RefusingPort refusing;
  Load load(load_options(refusing.port, 3, 1));
  load.run();
  load.check(0, 0, 3, Failure::connect);
}

TEST("a connect fails only when every endpoint was tried") {
  const RefusingPort refusing;
  LoadOptions options = load_options(refusing.port, 1, 2);
  options.servers = {{"127.0.0.2", refusing.port}, {"127.0.0.1", refusing.port}};
  Load load(options);
  load.run();
  load.check(0, 0, 2, Failure::connect);
}

TEST("an endpoint that does not answer is passed over for one that does") {
  ScriptedServer server([](Conversation& with) { with.serve(); });
  LoadOptions options = load_options(server.port(), 2, 1);
  // A listener whose queue is full answers nothing.
  const Fd swallowing(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Endpoint address("127.0.0.2", server.port());
  CHECK_EQ(::bind(swallowing.get(), address.get(), address.length()), 0);
  CHECK_EQ(::listen(swallowing.get(), 0), 0);
  const Fd filling(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK_EQ(::connect(filling.get(), address.get(), address.length()), 0);
  options.servers = {address, {"127.0.0.1", server.port()}};
  options.connect_timeout = 300 * kMillisecond;
  Load load(options);
  load.run();
  load.check(2, 2);
}

TEST("a name instead of a numeric address is refused at once") {
  LoadOptions options = load_options(1);
  try {
    options.servers = {{"localhost", 1}};
    const Load load(options);
  } catch (const SystemError& error) {
    CHECK_EQ(error.code, EINVAL);
    return;
  }
  CHECK(!"refused");
}

TEST("no kind of failure leaves a request in flight") {
  ScriptedServer server([](Conversation& with) {
    with.greet();
    if (with.number() % 4 == 0) return with.wait_for_end();
    const std::string request = with.line();
    if (with.number() % 4 == 1) return with.send("wrong\n");
    if (with.number() % 4 == 2) return;
    with.send(with.reply(request));
  });
  LoadOptions options = load_options(server.port(), 40, 2);
  options.reply_timeout = 30 * kMillisecond;
  Load load(options);
  load.run();
  CHECK_EQ(load.counts().verified + load.counts().failed, 80);
  CHECK(load.in_flight.peak().requests <= 40);
  for (std::uint32_t i = 0; i < 41; i++) load.in_flight.sent(monotonic_now());
  CHECK_EQ(load.in_flight.peak().requests, 41);
}

}  // namespace
}  // namespace kilofork
