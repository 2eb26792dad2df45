// service.mjs: the service of one Node.js process, on node:net. cluster.mjs runs it in each worker,
// net.mjs in its only process.
//
// It speaks the same protocol as the others and writes the same two records for each request.
import { createServer } from "node:net";
import { basename } from "node:path";
import { openLog } from "./record.mjs";

const MAX_LINE = 1024;
const USERS = new Set(["arijort", "foobar"]);

/** Listens; `handled` counts the requests of this process. */
export function startService({ port, workMs, backlog, logRecord }, onListening) {
  const pid = process.pid;
  const service = { handled: 0 };
  createServer({ noDelay: true, allowHalfOpen: true }, serve)
    .on("error", (error) => {
      fail(error.message);
      process.exit(1);
    })
    .listen({ host: "127.0.0.1", port, backlog }, onListening);
  return service;

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
    // A client that closes is no error of the server.
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
      logRecord(`completed req "${message}" on ${pid} total reqs ${service.handled + 1}`);
      service.handled += 1;
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
}

/**
 * The command line, the same for all the peers. PROCESSES is for cluster.mjs; 0: one for each cpu.
 *
 * [PORT [PROCESSES [WORK_MS [BACKLOG [LOGFILE]]]]]
 */
export function readSettings() {
  const [, , port, processes, workMs, backlog, path] = process.argv;
  return {
    port: number("PORT", port ?? "31337", 1, 65535),
    processes: number("PROCESSES", processes ?? "0", 0, 1024),
    workMs: number("WORK_MS", workMs ?? "3000", 0, 2 ** 31 - 1),
    backlog: number("BACKLOG", backlog ?? "100", 0, 2 ** 31 - 1),
    logRecord: openLogOrExit(path ?? "/tmp/myserver.log"),
  };
}

export function fail(text) {
  console.error(`${basename(process.argv[1])}: ${text}`);
}

function openLogOrExit(path) {
  try {
    return openLog(path);
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
