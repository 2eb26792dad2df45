/** How a server starts, survives the death of its processes, and ends. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { commandPath } from "../src/base/paths";
import { ourProcesses, segmentsOf, temporaryFolder } from "./support/cleanup";
import { Command, processPer } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { runOnTerminal } from "./support/terminal";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

function alive(pid: number): boolean {
  return ourProcesses().includes(pid);
}

function killChild(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, signal);
}

describe("start", () => {
  test("the banner comes when, and only when, all children wait for clients", async () => {
    const server = await Server.start({ children: 200 });
    expect(server.command.stdout).toBe(
      `Running with 200 children on host:port 127.0.0.1:${server.port}\n`,
    );
    expect(server.count("idle")).toBe(200);
    expect(server.records(/have child pid/)).toHaveLength(200);
    expect(new Set(server.slots().map(({ pid }) => pid)).size).toBe(200);
    await server.stop();
  });

  test("children get a higher oom_score_adj, the front does not", async () => {
    const server = await Server.start({ children: 2 });
    const score = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
    expect(server.slots().map(({ pid }) => score(pid))).toEqual([1000, 1000]);
    expect(score(server.front)).toBe(score(process.pid));
    expect(score(server.supervisor)).toBe(score(process.pid));
    await server.stop();
  });

  test.skipIf(!isRoot)(
    "a child has no descriptor but those that it needs, and none of the server's to change it",
    async () => {
      const server = await Server.start({ children: 1 });
      const descriptors = (pid: number) =>
        readdirSync(`/proc/${pid}/fd`).map((fd) => {
          const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
          return `${fd} ${target
            .replace(server.log, "log")
            .replace("anon_inode:[pidfd]", "pidfd:[")
            .replace(/\d{2,}.*/, "")}`;
        });
      expect(descriptors(server.slots()[0]?.pid ?? 0).sort()).toEqual([
        "0 /dev/null",
        "1 /dev/null",
        "11 socket:[", // receives a reopened log
        "12 pidfd:[", // of the front
        "2 socket:[", // standard error of this server
        processPer === "request" ? "3 socket:[" : "4 socket:[", // to the keeper; the listener
        "5 log",
        "6 /dev/shm/kilofork-",
        "7 socket:[", // the lifeline
        "9 anon_inode:[eventfd]", // the wakeup
      ]);
      await server.stop();
    },
  );

  test("a pid file exists while the server runs", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "pid");
    const server = await Server.start({ folder, args: ["--pid-file", file] });
    expect(readFileSync(file, "utf8")).toBe(`${server.front}\n`);
    await server.stop();
    expect(existsSync(file)).toBe(false);
  });

  test("a pid file is not written by a second server, and removed by its own server only", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "pid");
    const pidFile = ["--pid-file", file];
    const first = await Server.start({ folder, args: pidFile });
    const log = join(folder, "second.log");
    const second = new Command(["serve", "127.0.0.1", "0", "--log", log, ...pidFile]);
    expect(await second.end()).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`is locked by a server that runs, pid ${first.front}\n`),
    });
    expect(readFileSync(file, "utf8")).toBe(`${first.front}\n`);

    renameSync(file, `${file}.old`);
    writeFileSync(file, "another's\n");
    await first.stop();
    expect(readFileSync(file, "utf8")).toBe("another's\n");
  });

  test("a pid file that a killed server has left is taken over; one that is no file is refused", async () => {
    const folder = temporaryFolder();
    const file = join(folder, "pid");
    const killed = await Server.start({ folder, args: ["--pid-file", file] });
    await killed.stop("SIGKILL");
    await until("its children have ended", () => ourProcesses().length === 0);
    expect(readFileSync(file, "utf8")).toBe(`${killed.front}\n`);
    const next = await Server.start({ folder, args: ["--pid-file", file] });
    expect(readFileSync(file, "utf8")).toBe(`${next.front}\n`);
    await next.stop();
    expect(existsSync(file)).toBe(false);

    const args = ["serve", "127.0.0.1", "0", "--log", join(folder, "log")];
    const refused = await new Command([...args, "--pid-file", "/dev/null"]).end();
    expect(refused).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("/dev/null is not a regular file"),
    });
  });

  test("a service manager is told when it is ready, and when it stops", async () => {
    const socket = join(temporaryFolder(), "notify");
    const listen = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True:
    said = s.recv(100).decode()
    print(said, flush=True)
    if said == "STOPPING=1":
        break
`;
    const manager = new Command(["-c", listen, socket], "python3");
    await until("the socket of the manager is bound", () => manager.stdout === "bound\n");
    const server = await Server.start({ children: 3, env: { NOTIFY_SOCKET: socket } });
    await until("the manager is told", () => manager.stdout === "bound\nREADY=1\n");
    await server.stop();
    expect((await manager.end()).stdout).toBe("bound\nREADY=1\nSTOPPING=1\n");
  });

  test("a segment that a killed server left is swept at the next start; that of a running one is not", async () => {
    const living = await Server.start({ children: 1 });
    const first = await Server.start({ children: 1 });
    // The front last: each of the others would remove the segment.
    const { forker } = first.scoreboard.header();
    const children = first.slots().map(({ pid }) => pid);
    const everyone = [forker, ...children, first.supervisor, first.front];
    for (const pid of everyone) killChild(pid, "SIGSTOP");
    for (const pid of everyone) killChild(pid, "SIGKILL");
    await until("all have ended", () => !everyone.some(alive));
    expect(segmentsOf(first.front)).toHaveLength(1);

    const next = await Server.start({ children: 1 });
    expect(segmentsOf(first.front)).toEqual([]);
    expect(segmentsOf(living.front)).toHaveLength(1);
    await living.stop();
    await next.stop();
  });
});

describe("stop", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s lets requests in work finish, and exits 0",
    async (signal) => {
      const server = await Server.start({ children: 5, work: "sleep:500ms" });
      const client = await RawClient.greeted(server.port);
      client.send("arijort:in work\n");
      await until("a child works", () => server.count("working") === 1);
      const stopped = server.stop(signal);
      expect(await client.rest()).toContain('recvd message "in work" from user arijort\n');
      await client.close();
      const { code } = await stopped;
      expect(code).toBe(0);
      expect(server.records(/total requests 1$/)).not.toHaveLength(0);
      expect(server.records().at(-1)).toMatch(/ -- Server stop$/);
      expect(server.records(/ended: exit 0, stopped$/)).toHaveLength(5);
      expect(server.audit().problems).toEqual([]);
    },
  );

  test("a kept connection is closed, and a request behind the one in work is refused", async () => {
    const server = await Server.start({ children: 2, work: "sleep:300ms" });
    const idle = await RawClient.greeted(server.port);
    const busy = await RawClient.greeted(server.port);
    busy.send("arijort:one\narijort:two\n");
    await until("a child works", () => server.count("working") === 1);
    const stopped = server.stop();
    expect(await idle.rest()).toBe(`this is server thread ${idle.greeter}\n`);
    const [, reply, refusal] = (await busy.rest()).split("\n");
    expect(reply).toContain('"one"');
    expect(refusal).toMatch(/^error shutting-down: /);
    await Promise.all([idle.close(), busy.close()]);
    expect((await stopped).code).toBe(0);
  });

  test("clients in the accept queue are accepted and refused, and none is reset", async () => {
    const server = await Server.start({ children: 1, work: "sleep:400ms" });
    const busy = await RawClient.greeted(server.port);
    busy.send("arijort:x\n");
    await until("a child works", () => server.count("working") === 1);
    const waiting = Array.from({ length: 50 }, () => new RawClient(server.port));
    await Promise.all(
      waiting.map((client) => until("the client is connected", () => !client.socket.connecting)),
    );
    for (const client of waiting) client.send("arijort:too late\n");
    const stopped = server.stop();
    for (const client of waiting) {
      // A keeper has accepted and greeted them.
      expect(await client.rest()).toMatch(
        processPer === "request"
          ? /^this is server thread \d+\nerror shutting-down: .*\n$/
          : /^error shutting-down: .*\n$/,
      );
      expect(client.error).toBeUndefined();
      await client.close();
    }
    await busy.rest();
    await busy.close();
    expect((await stopped).code).toBe(0);
  });

  test("new clients do not delay it, and none is reset", async () => {
    const MOST = 100;
    const server = await Server.start({ children: 1, work: "sleep:500ms" });
    const busy = await RawClient.greeted(server.port);
    busy.send("arijort:x\n");
    await until("a child works", () => server.count("working") === 1);
    const newcomers: RawClient[] = [];
    const timer = setInterval(() => {
      if (newcomers.length < MOST) newcomers.push(new RawClient(server.port));
    }, 100);
    await until("newcomers come", () => newcomers.length > 2);
    expect((await server.stop()).code).toBe(0);
    clearInterval(timer);
    expect(newcomers.length).toBeLessThan(MOST);
    for (const client of [busy, ...newcomers]) {
      await client.rest();
      expect(client.error ?? "ECONNREFUSED").toBe("ECONNREFUSED");
      await client.close();
    }
  });

  test.each([
    { by: "SIGTERM", order: (front: number) => process.kill(front, "SIGTERM") },
    { by: "SIGQUIT", order: (front: number) => process.kill(front, "SIGQUIT") },
    { by: "a signal to its supervisor", order: (_: number, of: number) => process.kill(of, 15) },
  ])("the last line says what has stopped it, and what it has done: $by", async (stop) => {
    const server = await Server.start({
      children: 2,
      args: ["--grace", "10ms"],
      work: "sleep:10m",
    });
    const client = await RawClient.greeted(server.port);
    client.send("arijort:long\n");
    await until("a child works", () => server.count("working") === 1);
    stop.order(server.front, server.supervisor);
    expect((await server.command.end()).code).toBe(1);
    expect(server.command.stderr.trimEnd().split("\n").at(-1)).toBe(
      `kilofork: stopped by ${stop.by}: 0 requests served, 1 aborted`,
    );
    await client.close();
  });

  test("the total is written at the end, also when reports are a month apart", async () => {
    const server = await Server.start({ children: 2, args: ["--report-every", "720h"] });
    expect((await server.client(2, "arijort:x", "--requests", "100")).requests.verified).toBe(200);
    await server.stop();
    expect(server.records(/total requests \d+$/)).toHaveLength(1);
  });

  test("a second order, and the end of the grace, abort requests: exit 1", async () => {
    for (const args of [
      ["--grace", "10m"],
      ["--grace", "100ms"],
    ]) {
      const server = await Server.start({ children: 3, work: "sleep:10m", args });
      const client = await RawClient.greeted(server.port);
      client.send("arijort:never\n");
      await until("a child works", () => server.count("working") === 1);
      server.command.kill("SIGTERM");
      await until("no child is idle", () => server.count("idle") === 0);
      if (args[1] === "10m") {
        await sleep(600); // a signal that follows within 500 ms is the same order
        server.command.kill("SIGTERM"); // once: one that comes at the very end would end Node
      }
      await until("the request is aborted", () => server.count("working") === 0);
      expect((await server.command.end()).code).toBe(1);
      await client.close();
      expect(server.records(/ended: exit 3, abnormal$/)).toHaveLength(1);
      expect(server.audit()).toMatchObject({
        ok: true,
        runs: [{ ledger: { unfinished: 1, died: 1 } }],
      });
    }
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s twice within a moment, as npx passes on a Ctrl-C, is one order: requests in work finish",
    async (signal) => {
      const server = await Server.start({ children: 1, work: "sleep:1s" });
      const client = await RawClient.greeted(server.port);
      client.send("arijort:now\n");
      await until("the child works", () => server.count("working") === 1);
      server.command.kill(signal);
      await until("the server stops", () => server.scoreboard.header().stopping);
      server.command.kill(signal);
      expect((await server.command.end()).code).toBe(0);
      expect(await client.rest()).toContain('recvd message "now"');
    },
  );

  test("SIGQUIT ends at once", async () => {
    const server = await Server.start({ children: 3, work: "sleep:10m", args: ["--grace", "10m"] });
    const client = await RawClient.greeted(server.port);
    client.send("arijort:never\n");
    await until("a child works", () => server.count("working") === 1);
    expect((await server.stop("SIGQUIT")).code).toBe(1);
    await client.close();
  });

  test("SIGTERM and SIGQUIT to the supervisor stop the server, also when every process gets them", async () => {
    for (const signal of ["SIGTERM", "SIGQUIT"] as const) {
      const server = await Server.start({ children: 3 });
      killChild(server.supervisor, signal);
      expect((await server.command.end()).code).toBe(0);
      expect(server.records(/Server init$/)).toHaveLength(1);
    }

    const other = await Server.start({ children: 50 });
    const everyone = [...other.slots().map(({ pid }) => pid), other.supervisor, other.front];
    for (const pid of everyone) killChild(pid, "SIGTERM");
    expect((await other.command.end()).code).toBe(0);
    expect(other.audit().problems).toEqual([]);
  });

  test.each(["Ctrl-C", "a hang-up"] as const)(
    "%s of a real terminal stops the server; the children get the order from the supervisor",
    async (act) => {
      const log = join(temporaryFolder(), "server.log");
      const args = ["serve", "127.0.0.1", "0", "--children", "20", "--work", "none", "--log", log];
      const { code, output, errors } = await runOnTerminal({
        argv: [process.execPath, commandPath, ...args],
        when: { text: "listening on", times: 1 },
        act,
      });
      expect(errors).toBe("");
      expect(output).toContain("Running with 20 children");
      expect(code).toBe(0);
      expect(readFileSync(log, "utf8").match(/ended: exit 0, stopped/g)).toHaveLength(20);
    },
  );
});

test("--stop-at-eof ends the server with the process that started it", async () => {
  const server = await Server.start({ children: 3 });
  server.command.closeInput();
  expect((await server.command.end()).code).toBe(0);
  expect(server.records().at(-1)).toMatch(/Server stop$/);
});

// Only the superuser may create such a namespace.
test.skipIf(!isRoot)(
  "a server works as process 1 of a container, and reaps the orphans of others",
  async () => {
    const log = join(temporaryFolder(), "server.log");
    const container = new Command(
      [
        ...["--pid", "--fork", "--mount-proc", "--kill-child", process.execPath, commandPath],
        ...["serve", "127.0.0.1", "0", "--children", "5", "--work", "none", "--log", log],
      ],
      "unshare",
    );
    await until("the server runs", () => {
      if (container.hasEnded) throw new Error(container.stderr);
      return container.stderr.includes("listening on");
    });
    const childrenOf = (pid: number) =>
      readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
    const [front = 0] = childrenOf(container.pid);
    const [supervisor = 0] = childrenOf(front);
    // The shell ends at once; its sleep is adopted by process 1 and ends a little later.
    const orphan = await new Command(
      ["-t", String(front), "-p", "sh", "-c", "sleep 0.3 & echo started"],
      "nsenter",
    ).end();
    expect(orphan.stdout).toBe("started\n");
    await until(
      "only the supervisor is left",
      () => childrenOf(front).join() === String(supervisor),
    );

    killChild(supervisor);
    await until("there is another supervisor", () => container.stderr.includes("up again"));
    await until("the front has reaped all orphans", () => childrenOf(front).length === 1);
    killChild(front, "SIGTERM");
    expect((await container.end()).code).toBe(0);
    expect(audit({ logs: [log], atLeast: 0, all: false }).problems).toEqual([]);
  },
);

describe("deaths", () => {
  test("a killed child is replaced, its slot keeps the count", async () => {
    const server = await Server.start({ children: 3 });
    await server.client(3, "arijort:before", "--requests", "10");
    const victim = server.slots().find(({ total }) => total > 0);
    const before = server.scoreboard.total();
    killChild(victim?.pid ?? 0);
    await until("the child is replaced", () => server.records(/have child pid/).length === 4);
    await server.untilIdle();
    expect(server.scoreboard.total()).toBe(before);
    expect(
      server.records(new RegExp(`child pid ${victim?.pid} ended: signal 9, abnormal$`)),
    ).toHaveLength(1);
    await server.client(3, "arijort:after", "--requests", "10");
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });

  test("SIGTERM to a child retires it: its client is served to the end, then another comes", async () => {
    const server = await Server.start({ children: 1 });
    const client = await RawClient.greeted(server.port);
    const child = server.slots()[0]?.pid ?? 0;
    killChild(child, "SIGTERM");
    client.send("arijort:one\narijort:two\n");
    await client.lines(3);
    client.finish();
    expect(await client.rest()).toContain('"two"');
    await client.close();
    await until("it has ended", () => server.records(/ended: exit 0, retired$/).length === 1);
    await server.untilIdle();
    expect(server.slots()[0]?.pid).not.toBe(child);
    await server.stop();
  });

  test("a killed supervisor takes its children along, and another takes over on the same socket", async () => {
    const server = await Server.start({ children: 20, work: "sleep:10m" });
    const client = await RawClient.greeted(server.port);
    client.send("arijort:lost\n");
    await until("a child works", () => server.count("working") === 1);
    const before = server.supervisor;
    killChild(before);
    await client.rest();
    await client.close();
    await until("there is another supervisor", () => server.supervisor !== before);
    await server.untilIdle();
    expect(server.records(/ended: with its supervisor, abnormal$/)).toHaveLength(20);
    const next = await RawClient.greeted(server.port);
    await next.close();
    await server.untilIdle();
    expect((await server.stop()).code).toBe(0);
    expect(server.audit()).toMatchObject({
      ok: true,
      runs: [{ ledger: { died: 20, unfinished: 1 } }],
    });
  });

  test("a stopped orphan does not hold up the next supervisor for ever", async () => {
    const server = await Server.start({ children: 3 });
    const stuck = server.slots()[0]?.pid ?? 0;
    const before = server.supervisor;
    killChild(stuck, "SIGSTOP");
    killChild(before);
    await until("there is another supervisor", () => server.supervisor !== before);
    await server.untilIdle();
    await until("the orphan has ended", () => !alive(stuck)); // it may have guarded the segment
    await server.stop();
  });

  test("when the front is killed, requests in work finish and the books are closed", async () => {
    const server = await Server.start({ children: 5, work: "sleep:400ms" });
    const client = await RawClient.greeted(server.port);
    client.send("arijort:last\n");
    await until("a child works", () => server.count("working") === 1);
    server.command.kill("SIGKILL");
    expect(await client.rest()).toContain('"last"');
    await client.close();
    await until("all processes have ended", () => ourProcesses().length === 0);
    expect(segmentsOf(server.front)).toEqual([]);
    expect(
      server
        .records()
        .slice(-2)
        .map((line) => line.slice(33)),
    ).toEqual(["total requests 1", "Server stop"]);
    expect(server.audit().problems).toEqual([]);
  });

  test("when the front is killed while the last client reads its refusal, the books are closed", async () => {
    const server = await Server.start({ children: 1, work: "sleep:500ms" });
    const [busy] = await server.occupy(1);
    const guest = new RawClient(server.port); // keeps its side open
    guest.send("arijort:too late\n");
    await until("the client is connected", () => !guest.socket.connecting);
    server.command.kill("SIGTERM");
    await busy?.rest();
    await busy?.close();
    expect(await guest.rest()).toMatch(/^error shutting-down: /m);
    server.command.kill("SIGKILL");
    await until("all processes have ended", () => ourProcesses().length === 0);
    expect(segmentsOf(server.front)).toEqual([]);
    expect(server.records().at(-1)?.slice(33)).toBe("Server stop");
    await guest.close();
  });

  test("when front and supervisor are killed, nothing is left, and the log has no end record", async () => {
    const server = await Server.start({ children: 50, work: "sleep:10m" });
    const { supervisor } = server;
    killChild(supervisor, "SIGSTOP"); // or it may stop its children first
    server.command.kill("SIGKILL");
    killChild(supervisor);
    await until("all processes have ended", () => ourProcesses().length === 0);
    await until("the segment is gone", () => segmentsOf(server.front).length === 0);
    const { runs, ok } = server.audit();
    expect(ok).toBe(true);
    expect(runs[0]?.ended).toBe(false);
  });

  test("a front that is stopped changes nothing for clients, deaths included", async () => {
    const server = await Server.start({ children: 5, work: "sleep:400ms" });
    server.command.kill("SIGSTOP");
    const [client] = await server.occupy(1);
    const [child] = server.slots().filter(({ state }) => state === "working");
    killChild(child?.pid ?? 0);
    await client?.rest();
    await client?.close();
    await server.untilIdle();
    expect(server.records(/signal 9, abnormal$/)).toHaveLength(1);
    const result = await server.client(5, "arijort:x", "--requests", "2");
    expect(result.requests.verified).toBe(10);
    server.command.kill("SIGCONT");
    expect((await server.stop()).code).toBe(0);
  });

  test("a stopped and continued child goes on where it was", async () => {
    const server = await Server.start({ children: 1 });
    const client = await RawClient.greeted(server.port);
    const child = server.slots()[0]?.pid ?? 0;
    killChild(child, "SIGSTOP");
    client.send("arijort:later\n");
    killChild(child, "SIGCONT");
    await client.lines(2);
    client.finish();
    expect(await client.rest()).toContain('"later"');
    await client.close();
    await server.stop();
  });
});

describe("reload", () => {
  test("SIGHUP reads the users again, for connections that are open as well", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "# who may\narijort\n\nsecond # a comment\n");
    const server = await Server.start({ folder, args: ["--users", users] });
    const client = await RawClient.greeted(server.port);
    client.send("second:hello\n");
    await client.lines(2);
    writeFileSync(users, "arijort\nthird\n");
    server.command.kill("SIGHUP");
    await until("the server has read the users", () =>
      server.command.stderr.includes("users read again"),
    );
    client.send("second:hello again\n");
    expect(await client.rest()).toMatch(/error unauthorized: .*\n$/);
    await client.close();

    writeFileSync(users, "bad name\n");
    server.command.kill("SIGHUP");
    await until("the server has refused the users", () =>
      server.command.stderr.includes("users kept"),
    );
    const third = await RawClient.greeted(server.port);
    third.send("third:still here\n");
    await third.lines(2);
    await third.close();
    await server.stop();
  });

  test.each(["SIGUSR1", "SIGHUP"] as const)(
    "after a rename, %s brings all records to a new log",
    async (signal) => {
      const server = await Server.start({ children: 20 });
      const client = await RawClient.greeted(server.port);
      client.send("arijort:before\n");
      await client.lines(2);
      const old = `${server.log}.1`;
      renameSync(server.log, old);
      server.command.kill(signal);
      await until(
        "all children write to the new log",
        () =>
          server.slots().every(({ logEpoch }) => logEpoch === 1 || logEpoch === 0) &&
          server.scoreboard.header().logEpoch === 1,
      );
      client.send("arijort:after\n");
      await client.lines(3);
      await client.close();
      await until("the idle ones have let go of the old one", () =>
        server.slots().every(({ logEpoch }) => logEpoch === 1),
      );
      await server.stop();
      expect(readFileSync(old, "utf8")).not.toContain('"after"');
      expect(server.records(/"before"/)).toEqual([]);
      expect(server.records(/"after"/)).toHaveLength(2);
      expect(audit({ logs: [old, server.log], atLeast: 0, all: false })).toMatchObject({
        ok: true,
        runs: [{ ended: true, ledger: { completed: 2, counted: 2 } }],
      });
    },
  );
});
