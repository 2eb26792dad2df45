// A small server for tests of the load engine: a thread for each connection runs the script of the
// test. Its greetings have invented pids: 1001 for the first connection, then 1002 and so on.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.hpp"
#include "check.hpp"
#include "client.hpp"
#include "net/listener.hpp"

namespace kilofork::check {

// One connection, as its script uses it.
class Conversation {
 public:
  Conversation(int fd, int number) : fd_(fd), number_(number) {
    set_receive_timeout(fd, kPatience);
  }

  [[nodiscard]] int number() const { return number_; }  // from 1
  [[nodiscard]] std::string pid() const { return std::to_string(1000 + number_); }

  // The client's address, numeric.
  [[nodiscard]] std::string peer() const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    CHECK_EQ(::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    std::array<char, INET_ADDRSTRLEN> text{};
    return ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
  }

  void send(std::string_view bytes) const {
    (void)::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void send_each_byte(std::string_view bytes) const {
    for (const char& byte : bytes) {
      send({&byte, 1});
      ::usleep(300);
    }
  }
  void greet() const { send(greeting()); }
  [[nodiscard]] std::string greeting() const { return "this is server thread " + pid() + "\n"; }
  [[nodiscard]] std::string reply(const std::string& request) const {
    return "server " + pid() + " got " + request + "\n";
  }
  // The next line without its newline; empty at the end of file.
  std::string line() {
    for (std::size_t newline = 0; (newline = held_.find('\n')) == std::string::npos;) {
      if (!receive()) return {};
    }
    const std::string line = held_.substr(0, held_.find('\n'));
    held_.erase(0, line.size() + 1);
    return line;
  }
  // Waits until the client closes.
  void wait_for_end() {
    while (receive()) held_.clear();
  }
  // Resets the connection instead of closing it.
  void reset() const {
    const linger none{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  // Serves as a real server would, to the end of file.
  void serve() {
    greet();
    for (std::string request; !(request = line()).empty();) send(reply(request));
  }

 private:
  bool receive() {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (got > 0) held_.append(bytes.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  int fd_;
  int number_;
  std::string held_;
};

class ScriptedServer {
 public:
  using Script = std::function<void(Conversation&)>;

  explicit ScriptedServer(Script script, const std::string& address = "127.0.0.1",
                          std::uint16_t port = 0)
      : script_(std::move(script)),
        listener_(
            listen_on({.endpoint = {address, port}, .backlog = 256, .write_timeout = kPatience})),
        acceptor_([this] { accept_all(); }) {}
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer() {
    ::shutdown(listener_.fd.get(), SHUT_RDWR);
    acceptor_.join();
    for (auto& conversation : conversations_) conversation.join();
  }

  [[nodiscard]] std::uint16_t port() const { return listener_.port; }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void accept_all() {
    for (;;) {
      Fd fd(::accept4(listener_.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      const int number = ++connections_;
      conversations_.emplace_back([this, number, accepted = std::move(fd)] {
        Conversation conversation(accepted.get(), number);
        script_(conversation);
      });
    }
  }

  const Script script_;
  Listener listener_;
  std::atomic<int> connections_ = 0;
  std::vector<std::thread> conversations_;
  std::thread acceptor_;  // the last member: it uses the others
};

}  // namespace kilofork::check
