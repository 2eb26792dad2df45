// The addon: all that JavaScript can ask of native code. Runs in front, client and commands. It
// only translates between JavaScript and native/core; spawn.cpp and notify.cpp do what only the
// front needs. src/native gives it types.
#include <fcntl.h>
#include <napi.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdint>
#include <limits>

#include "base/error.hpp"
#include "convert.hpp"
#include "enumerations.hpp"
#include "load_objects.hpp"
#include "log_object.hpp"
#include "net/listen_queue.hpp"
#include "net/listener.hpp"
#include "notify.hpp"
#include "process/cgroup.hpp"
#include "process/fd_passing.hpp"
#include "scoreboard_object.hpp"
#include "spawn.hpp"
#include "supervisor/exec_state.hpp"

namespace kilofork {
namespace {

// listen({address, port, backlog, writeTimeoutMs}) → {fd, port}; the caller closes fd.
Napi::Value listen(const Napi::CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  Listener listener = guarded(info.Env(), [&] {
    return listen_on({.endpoint = {get_string(options, "address"),
                                   static_cast<std::uint16_t>(get_number(options, "port"))},
                      .backlog = static_cast<int>(get_number(options, "backlog")),
                      .write_timeout = get_duration(options, "writeTimeoutMs")});
  });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("port", listener.port);
  result.Set("fd", listener.fd.release());
  return result;
}

// listenQueue(address, port) → {waiting, limit, dropped}, or null if no socket listens there.
Napi::Value listen_queue(const Napi::CallbackInfo& info) {
  const auto queue = guarded(info.Env(), [&] {
    return find_listen_queue(
        {info[0].As<Napi::String>(),
         static_cast<std::uint16_t>(info[1].As<Napi::Number>().Uint32Value())});
  });
  if (!queue) return info.Env().Null();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("waiting", queue->waiting);
  result.Set("limit", queue->limit);
  result.Set("dropped", queue->dropped);
  return result;
}

// startSupervisor({executable, segmentName, listener, log, logReader, segment, spawnLog,
// runAs?: {uid, gid}})
// → {pid, control, lifeline}; the caller closes the descriptors.
Napi::Value start_supervisor(const Napi::CallbackInfo& info) {
  const auto options = info[0].As<Napi::Object>();
  std::optional<User> run_as;
  if (options.Get("runAs").IsObject()) {
    const auto user = options.Get("runAs").As<Napi::Object>();
    run_as = {.uid = static_cast<uid_t>(get_number(user, "uid")),
              .gid = static_cast<gid_t>(get_number(user, "gid"))};
  }
  StartedSupervisor started = guarded(info.Env(), [&] {
    return kilofork::start_supervisor(
        {.executable = get_string(options, "executable"),
         .segment_name = get_string(options, "segmentName"),
         .listener = static_cast<int>(get_number(options, "listener")),
         .log = static_cast<int>(get_number(options, "log")),
         .log_reader = static_cast<int>(get_number(options, "logReader")),
         .segment = static_cast<int>(get_number(options, "segment")),
         .spawn_log = static_cast<int>(get_number(options, "spawnLog")),
         .run_as = run_as});
  });
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", started.pid);
  result.Set("control", started.control.release());
  result.Set("lifeline", started.lifeline.release());
  return result;
}

// sendControl(fd, line, passed?) → false if the socket has no room now. Sends one line, with the
// descriptor `passed` if it is given: all of it or nothing, since a line is shorter than half of
// what a socket holds. Does nothing if the supervisor is gone.
Napi::Value send_control(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>();
  const std::string line = info[1].As<Napi::String>().Utf8Value() + "\n";
  const int passed = info[2].IsNumber() ? info[2].As<Napi::Number>().Int32Value() : -1;
  const bool has_room = send_with_fd(fd, line, passed, MSG_DONTWAIT) >= 0 ||
                        (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM &&
                         errno != ETOOMANYREFS && errno != EINTR);
  return Napi::Boolean::New(info.Env(), has_room);
}

// reap(pid) → {exit} or {signal} once that child of the front has ended, else null. Waits for no
// other child: libuv reaps its own.
Napi::Value reap(const Napi::CallbackInfo& info) {
  int status = 0;
  if (::waitpid(info[0].As<Napi::Number>(), &status, WNOHANG) <= 0) return info.Env().Null();
  Napi::Object result = Napi::Object::New(info.Env());
  if (WIFSIGNALED(status))
    result.Set("signal", WTERMSIG(status));
  else
    result.Set("exit", WEXITSTATUS(status));
  return result;
}

// reapStranger(own) → true if it has reaped a child other than `own`. As process 1 of a container,
// the front inherits orphans that it did not start. WNOWAIT finds out first which child has ended,
// so that `own` is left to reap().
Napi::Value reap_stranger(const Napi::CallbackInfo& info) {
  siginfo_t ended{};
  const bool found = ::waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                     ended.si_pid != 0 && ended.si_pid != info[0].As<Napi::Number>().Int32Value();
  if (found) ::waitpid(ended.si_pid, nullptr, WNOHANG);
  return Napi::Boolean::New(info.Env(), found);
}

// limits() → {files, processes}, Infinity if there is none. The hard limit of files, to which Node
// has raised the soft one; the soft limit of processes, which is what children run into.
Napi::Value limits(const Napi::CallbackInfo& info) {
  const auto limit_of = [](auto resource, rlim_t rlimit::*kind) {
    rlimit limit{};
    ::getrlimit(resource, &limit);
    return limit.*kind == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                        : static_cast<double>(limit.*kind);
  };
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("files", limit_of(RLIMIT_NOFILE, &rlimit::rlim_max));
  result.Set("processes", limit_of(RLIMIT_NPROC, &rlimit::rlim_cur));
  return result;
}

// cgroupLimits() → {memory: {max, used}, tasks: {max, used}}; max is Infinity if there is none.
Napi::Value cgroup_limits(const Napi::CallbackInfo& info) {
  const CgroupLimits limits = kilofork::cgroup_limits();
  const auto object_of = [&](const CgroupLimit& limit) {
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("max", limit.most == SIZE_MAX ? std::numeric_limits<double>::infinity()
                                             : static_cast<double>(limit.most));
    object.Set("used", static_cast<double>(limit.used));
    return object;
  };
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("memory", object_of(limits.memory));
  result.Set("tasks", object_of(limits.tasks));
  return result;
}

// closeOnExec(fd): no program that this process starts from now on inherits the descriptor.
void close_on_exec(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  guarded(info.Env(), [&] {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) fail("fcntl of descriptor " + std::to_string(fd));
  });
}

// lockFile(fd) → false if another process has the file locked. flock(2).
Napi::Value lock_file(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  const bool is_ours = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  guarded(info.Env(), [&] {
    if (!is_ours && errno != EWOULDBLOCK) fail("flock of descriptor " + std::to_string(fd));
  });
  return Napi::Boolean::New(info.Env(), is_ours);
}

// notify(state) → true if there is a service manager, and it has been told.
Napi::Value notify(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), notify_service_manager(info[0].As<Napi::String>()));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Scoreboard", ScoreboardObject::define(env));
  exports.Set("Log", LogObject::define(env));
  exports.Set("InFlight", InFlightObject::define(env));
  exports.Set("LoadEngine", LoadEngineObject::define(env));
  exports.Set("compatibility", compatibility());
  exports.Set("enumerations", enumerations(env));
  exports.Set("listen", Napi::Function::New<listen>(env, "listen"));
  exports.Set("startSupervisor", Napi::Function::New<start_supervisor>(env, "startSupervisor"));
  exports.Set("listenQueue", Napi::Function::New<listen_queue>(env, "listenQueue"));
  exports.Set("sendControl", Napi::Function::New<send_control>(env, "sendControl"));
  exports.Set("reap", Napi::Function::New<reap>(env, "reap"));
  exports.Set("reapStranger", Napi::Function::New<reap_stranger>(env, "reapStranger"));
  exports.Set("closeOnExec", Napi::Function::New<close_on_exec>(env, "closeOnExec"));
  exports.Set("lockFile", Napi::Function::New<lock_file>(env, "lockFile"));
  exports.Set("notify", Napi::Function::New<notify>(env, "notify"));
  exports.Set("limits", Napi::Function::New<limits>(env, "limits"));
  exports.Set("cgroupLimits", Napi::Function::New<cgroup_limits>(env, "cgroupLimits"));
  return exports;
}

}  // namespace
}  // namespace kilofork

static Napi::Object init_module(Napi::Env env, Napi::Object exports) {
  return kilofork::init(env, exports);
}

NODE_API_MODULE(kilofork, init_module)
