// cluster.mjs: the same service as a node:cluster server, for comparison.
//
// The primary forks K workers; each is a node:net server that speaks the same
// protocol and writes the same two records for each request, each with one
// writeSync on a descriptor opened with O_APPEND. A worker counts by itself and
// tells the primary every two seconds and at its end. Connections go round robin
// (the default on Linux). A worker that dies unasked ends the server.
//
// node cluster.mjs [PORT [WORKERS [WORK_MS [BACKLOG [LOGFILE]]]]]
// WORKERS 0: one for each cpu.
import cluster from "node:cluster";
import { openSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";

const MAX_LINE = 1024;
const REPORT_MS = 2000;
const USERS = new Set(["arijort", "foobar"]);

const [port, workersAsked, workMs, backlog] = [
  number("PORT", process.argv[2] ?? "31337", 1, 65535),
  number("WORKERS", process.argv[3] ?? "0", 0, 1024),
  number("WORK_MS", process.argv[4] ?? "3000", 0, 2 ** 31 - 1),
  number("BACKLOG", process.argv[5] ?? "100", 0, 2 ** 31 - 1),
];
const logFile = openLog(process.argv[6] ?? "/tmp/myserver.log");

if (cluster.isPrimary) runPrimary();
else runWorker();

function runPrimary() {
  const workers = workersAsked || availableParallelism();
  const counts = new Map();
  let listening = 0;
  let running = workers;
  let reported = 0;
  let stopping = false;

  function reportTotal() {
    let total = 0;
    for (const count of counts.values()) total += count;
    if (total !== reported) logRecord(`total requests ${total}`);
    reported = total;
  }

  function stop() {
    stopping = true;
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
  }

  cluster.on("message", (worker, count) => counts.set(worker.id, count));
  cluster.on("listening", () => {
    if (++listening === workers) {
      console.log(`Running with ${workers} workers on host:port localhost:${port}`);
    }
  });
  cluster.on("exit", (worker, code, signal) => {
    running -= 1;
    if (!stopping) {
      fail(`worker ${worker.process.pid} ended: ${signal ?? `exit ${code}`}`);
      process.exitCode = 1;
      stop();
    }
    if (running === 0) {
      reportTotal();
      process.exit();
    }
  });
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  for (let i = 0; i < workers; i += 1) cluster.fork();
  setInterval(reportTotal, REPORT_MS);
}

// Ends by itself when the primary is gone: node:cluster sees to that.
function runWorker() {
  const pid = process.pid;
  let handled = 0;
  let told = 0;

  // Latin-1 maps bytes to characters one to one, so a message comes back as it was sent.
  function serve(socket) {
    let pending = "";
    let working = false;
    let ended = false;

    socket.setEncoding("latin1");
    socket.write(`this is server thread ${pid}\n`);
    socket.on("data", (text) => {
      pending += text;
      if (!working) answerLines();
    });
    socket.on("end", () => {
      ended = true;
      if (!working) socket.end();
    });
    // A client that goes away is no error of the server's.
    socket.on("error", () => {});

    // One request at a time, so that pipelined ones are answered in order.
    function answerLines() {
      let start = 0;
      for (let end = pending.indexOf("\n"); end >= 0; end = pending.indexOf("\n", start)) {
        if (end - start >= MAX_LINE) return refuseLongLine();
        const request = accept(pending.slice(start, end));
        start = end + 1;
        if (request === undefined) return;
        if (workMs > 0) {
          pending = pending.slice(start);
          working = true;
          setTimeout(finishWork, workMs, request);
          return;
        }
        complete(request);
      }
      pending = pending.slice(start);
      if (pending.length >= MAX_LINE) refuseLongLine();
    }

    function refuseLongLine() {
      logRecord(`protocol error: too-long on ${pid}`);
      refuse("too-long", `a line has at most ${MAX_LINE} bytes`);
    }

    function finishWork(request) {
      working = false;
      complete(request);
      answerLines();
      if (ended && !working) socket.end();
    }

    // The checked and recorded request, or undefined when it was refused.
    function accept(line) {
      const colon = line.indexOf(":");
      if (colon < 0) {
        logRecord(`protocol error: protocol on ${pid}`);
        return refuse("protocol", "expected <username>:<message>");
      }
      const user = line.slice(0, colon);
      const message = line.slice(colon + 1, line.endsWith("\r") ? -1 : undefined);
      if (!USERS.has(user)) {
        logRecord(`authorization error: user "${user}" on ${pid}`);
        return refuse("unauthorized", "unknown user");
      }
      logRecord(`server ${pid} recvd message "${message}" from user ${user}`);
      return { user, message };
    }

    function complete({ user, message }) {
      logRecord(`completed req "${message}" on ${pid} total reqs ${handled + 1}`);
      handled += 1;
      if (!socket.destroyed) {
        socket.write(`server ${pid} recvd message "${message}" from user ${user}\n`, "latin1");
      }
    }

    function refuse(code, text) {
      socket.removeAllListeners("data");
      socket.resume();
      socket.end(`error ${code}: ${text}\n`);
    }
  }

  function tellCount(done) {
    if (handled === told) return done?.();
    told = handled;
    process.send(handled, done);
  }

  function stop() {
    tellCount(() => process.exit(0));
  }

  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  setInterval(tellCount, REPORT_MS);
  createServer({ noDelay: true, allowHalfOpen: true }, serve)
    .on("error", (error) => {
      fail(error.message);
      process.exit(1);
    })
    .listen({ host: "127.0.0.1", port, backlog });
}

function logRecord(text) {
  writeSync(logFile, `${timestamp()} -- ${text}\n`, null, "latin1");
}

// Local time with nanosecond digits; the part that changes once a second is kept.
function timestamp() {
  const now = performance.timeOrigin + performance.now();
  const second = Math.floor(now / 1000);
  if (second !== timestamp.second) {
    const date = new Date(second * 1000);
    const two = (value) => String(value).padStart(2, "0");
    timestamp.second = second;
    timestamp.text =
      `${date.getFullYear()}.${two(date.getMonth() + 1)}.${two(date.getDate())} ` +
      `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  }
  const nanoseconds = Math.floor((now - second * 1000) * 1e6);
  return `${timestamp.text}.${String(nanoseconds).padStart(9, "0")}`;
}

function openLog(path) {
  try {
    return openSync(path, "a");
  } catch (error) {
    fail(error.message);
    process.exit(1);
  }
}

function number(name, text, least, most) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    fail(`${name} must be a number from ${least} to ${most}, not "${text}"`);
    process.exit(2);
  }
  return value;
}

function fail(text) {
  console.error(`cluster.mjs: ${text}`);
}
