/** What `kilofork status` says of servers in known states, and its text. */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { CAUSES, REFUSALS, STATES } from "../src/base/enumerations";
import { commandPath } from "../src/base/paths";
import { Scoreboard } from "../src/native/scoreboard";
import { collect, RequestMeter } from "../src/status/collect";
import { diagnose } from "../src/status/diagnose";
import { findServer } from "../src/status/servers";
import { LETTERS, type Status } from "../src/status/status";
import { showAge, showStatus } from "../src/status/text";
import { segmentsOf } from "./support/cleanup";
import { Command, processPer, run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { runOnTerminal } from "./support/terminal";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

/** The status as the command reads it, without waiting for a sample. */
function look(server: Server): Status {
  const found = findServer({ port: server.port, pid: server.front });
  const status = diagnose(collect(found, new RequestMeter(found.scoreboard).read()));
  found.scoreboard.close();
  return status;
}

const textOf = (server: Server): string => `${showStatus(look(server))}\n`;

async function closeAll(clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) await client.close();
}

async function working(server: Server): Promise<RawClient> {
  const client = await RawClient.greeted(server.port);
  const before = server.count("working");
  client.send("arijort:x\n");
  await until("a child works", () => server.count("working") === before + 1);
  return client;
}

function signal(pid: number, name: NodeJS.Signals): void {
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, name);
}

async function halt(pid: number): Promise<void> {
  signal(pid, "SIGSTOP");
  await until("the process is stopped", () =>
    readFileSync(`/proc/${pid}/stat`, "utf8").includes(") T "),
  );
}

/** With a process for each connection, busy children accept nothing. */
async function acceptNothing(server: Server): Promise<void> {
  if (server.keeper !== 0) await halt(server.keeper);
}

describe("the status of a server that runs", () => {
  test("says who it is, and has a letter for what each child does", async () => {
    const server = await Server.start({ children: 4, work: "sleep:10m" });
    const client = await working(server);
    const quiet = await RawClient.greeted(server.port);
    const reads = processPer === "request" ? 0 : 1; // a keeper has the silent one
    await until("a child reads", () => server.count("reading") === reads);
    const text = textOf(server);
    const { slots, owner } = look(server);
    expect(slots.split("").sort().join("")).toBe(reads === 1 ? "RW__" : "W___");
    expect(text).toContain(`\n  ${slots}\n`);
    expect(text).toMatch(
      new RegExp(
        `^kilofork [\\d.]+ {3}127\\.0\\.0\\.1:${server.port} {3}pid ${server.front} {3}up [\\d.]+ m?s {3}user ${owner}\n`,
      ),
    );
    expect(text).toContain("static: 4 children\n");
    expect(text).toContain(
      `${1 + reads} busy   ${3 - reads} idle   0 starting   0 stopping   at maximum: never\n`,
    );
    expect(text).toContain("2 connections");
    expect(text).toContain(`log       ${server.log}   all children on this file\n`);
    expect(text).toMatch(
      isRoot
        ? /memory {4}\S+ [kM]B \(\S+ kB a child\): private memory and page tables\n/
        : /memory {4}unknown: only root may read it\n/,
    );
    await closeAll([client, quiet]);
    await server.stop("SIGQUIT");
  });

  test("has the age of the oldest request in work, not of a younger one", async () => {
    const server = await Server.start({ children: 2, work: "sleep:10m" });
    expect(look(server).oldestRequest).toBeNull();
    expect(textOf(server)).toContain("no request in work\n");
    const first = await working(server);
    const [oldest] = server.slots().filter(({ state }) => state === "working");
    const { ageMs = 0 } = look(server).oldestRequest ?? {};
    await until(
      "the request is older",
      () => (look(server).oldestRequest?.ageMs ?? 0) > ageMs + 50,
    );
    const second = await working(server);
    expect(look(server).oldestRequest?.pid).toBe(oldest?.pid);
    expect(textOf(server)).toMatch(new RegExp(`oldest request [\\d.]+ m?s, pid ${oldest?.pid}\n`));
    await closeAll([first, second]);
    await server.stop("SIGQUIT");
  });

  test("has the number of requests, and of those a second", async () => {
    const server = await Server.start({ children: 3 });
    const looking = run("status", String(server.port), "--json");
    await server.client(3, "arijort:x", "--requests", "20", "--rate", "40");
    const { requestsPerSecond, sampleMs } = JSON.parse((await looking).stdout) as Status;
    expect(requestsPerSecond).toBeGreaterThan(0);
    expect(sampleMs).toBeGreaterThanOrEqual(999);
    const status = look(server);
    expect(status.requests).toBe(60);
    expect(status.connections).toBe(3);
    await server.stop();
  });

  test("has the clients that wait in the kernel's queue, and its limit", async () => {
    const server = await Server.start({
      children: 1,
      work: "sleep:10m",
      args: ["--backlog", "1234"],
    });
    const client = await working(server);
    expect(look(server).queue).toEqual({ waiting: 0, limit: 1234, dropped: 0 });
    await acceptNothing(server);
    const waiting = Array.from({ length: 5 }, () => new RawClient(server.port));
    await until("five clients wait", () => look(server).queue?.waiting === 5);
    expect(textOf(server)).toContain("queue     5 waiting of 1,234   0 handshakes dropped\n");
    await closeAll([client, ...waiting]);
    await server.stop("SIGQUIT");
  });

  test("names a full queue, and what was dropped for it", async () => {
    const server = await Server.start({ children: 1, work: "sleep:10m", args: ["--backlog", "1"] });
    const client = await working(server);
    await acceptNothing(server);
    const waiting = Array.from({ length: 6 }, () => new RawClient(server.port));
    await until("a handshake is dropped", () => (look(server).queue?.dropped ?? 0) > 0);
    expect(look(server).problems).toContainEqual(expect.stringMatching(/^the queue is full: /));
    expect(textOf(server)).toMatch(/waiting of 1 {3}\d+ handshakes? dropped, it was full\n/);
    await closeAll([client, ...waiting]);
    await server.stop("SIGQUIT");
  });

  test("has deaths by cause: a child that was killed, and its successor", async () => {
    const server = await Server.start({ children: 3 });
    signal(server.slots()[0]?.pid ?? 0, "SIGKILL");
    await until("the child is replaced", () => look(server).children.forked === 4);
    await server.untilIdle();
    const { children } = look(server);
    expect(children).toMatchObject({ alive: 3, forked: 4, retired: 0, died: 1 });
    expect(children.endedByCause.killed).toBe(1);
    const text = textOf(server);
    expect(text).toContain("children  4 forked = 3 alive + 0 retired + 1 died\n");
    expect(text).toContain("          forked for  start 3, killed 1\n");
    expect(text).toContain("          died        killed 1\n");
    expect(text).not.toMatch(/^ +retired /m);
    await server.stop();
  });

  test("has refusals by kind, without kinds that there were none of", async () => {
    const server = await Server.start({ children: 2 });
    for (const request of ["root:x\n", "root:y\n", "no colon\n"]) {
      const client = await RawClient.greeted(server.port);
      client.send(request);
      await client.rest();
      await client.close();
    }
    await until("all refusals are counted", () => look(server).refused.protocol === 1);
    expect(textOf(server)).toContain("3 refused (protocol 1, unauthorized 2)\n");
    await server.stop();
  });

  test("has the children of an older epoch, and those on an older log", async () => {
    const server = await Server.start({ children: 3, work: "sleep:10m" });
    const client = await working(server);
    renameSync(server.log, `${server.log}.1`);
    expect(look(server)).toMatchObject({ ok: false, log: { inPlace: false } });
    const [{ pid } = { pid: 0 }] = server.slots().filter(({ state }) => state === "working");
    await halt(pid);
    server.command.kill("SIGUSR1");
    await until(
      "the other children write to the new log",
      () => look(server).children.onOlderLog === 1,
    );
    expect(look(server).log.inPlace).toBe(true);
    expect(textOf(server)).toContain(`${server.log}   1 child still on the old one\n`);
    signal(pid, "SIGCONT");
    await until("every child has the new log", () => look(server).children.onOlderLog === 0);
    server.command.kill("SIGUSR2");
    await until("the idle ones are replaced", () => {
      const { alive, retired, ofOlderGeneration } = look(server).children;
      return alive === 3 && retired === 2 && ofOlderGeneration === 1;
    });
    expect(textOf(server)).toContain(
      "1 of 3 are older than the last replace, and will be replaced\n",
    );
    await closeAll([client]);
    await server.stop("SIGQUIT");
  });

  test("says that a dynamic pool is at its maximum, and later that it was", async () => {
    const server = await Server.start({
      pool: { start: 1, minSpare: 1, maxSpare: 2, max: 3 },
      work: "sleep:5s",
    });
    expect(textOf(server)).toMatch(
      /dynamic: \d of at most 3 children, spare 1 to 2\n.*at maximum: never\n/,
    );
    const clients = await server.occupy(3);
    const waiting = new RawClient(server.port);
    waiting.send("arijort:waits\n");
    await until("the pool is at its maximum", () => look(server).brake === "maximum");
    expect(look(server)).toMatchObject({
      ok: false,
      full: { times: 1 },
      queue: { waiting: processPer === "request" ? 0 : 1 }, // it waits in the keeper
    });
    const text = textOf(server);
    expect(text).toMatch(
      /^problem {3}held back by its maximum: all 3 children (have a client, and clients wait|are busy, and 1 connection with a request waits)$/m,
    );
    expect(text).toMatch(/at maximum: now for [\d.]+ m?s\n/);
    expect(text).toContain("\n  WWW\n");
    await closeAll([...clients, waiting]);
    await until("the pool is no longer full", () => look(server).full.nowMs === null);
    await until("nothing is wrong with the server", () => look(server).ok);
    expect(textOf(server)).toMatch(/at maximum: \d+ times?, [\d.]+ m?s in all\n/);
    await server.stop();
  });
});

describe("the status of a server with a process for each request", () => {
  const PER_REQUEST = ["--process-per", "request"];
  const send = async (server: Server) => {
    const client = await RawClient.greeted(server.port);
    client.send("arijort:x\n");
    return client;
  };

  test("has the connections that are held, ready and in work, and says turns of children", async () => {
    const server = await Server.start({ children: 2, work: "sleep:10m", args: PER_REQUEST });
    expect(server.command.stderr).toContain("; a process for each request; work ");
    const { pid = 0 } = look(server).keeper ?? {};
    expect(readFileSync(`/proc/${pid}/comm`, "latin1")).toBe("kilofork-keeper\n");
    const silent = [await RawClient.greeted(server.port), await RawClient.greeted(server.port)];
    const working = [await send(server), await send(server)];
    await until("both children work", () => server.count("working") === 2);
    expect(look(server)).toMatchObject({ ok: true, slots: "WW" });
    const waiting = await send(server);
    await until("the pool is at its maximum", () => look(server).brake === "maximum");
    const status = look(server);
    expect(status.keeper).toEqual({
      ...{ pid, life: "running", held: 5, ready: 1, inWork: 2, turns: 2 },
    });
    expect(status).toMatchObject({ connections: 5, queue: { waiting: 0 } });
    const text = textOf(server);
    expect(text).toContain(`keeper    5 connections held   1 ready   2 in work   pid ${pid}\n`);
    expect(text).toContain("total     0 requests   5 connections   2 turns   0 refused\n");
    expect(text).toContain(
      "problem   held back by its maximum: all 2 children are busy, and 1 connection with a request waits\n",
    );
    await closeAll([...silent, ...working, waiting]);
    await server.stop("SIGQUIT");
  });

  test("has the refusals of keeper and children, in one sum by kind", async () => {
    const args = [...PER_REQUEST, "--max-connections-per-address", "1"];
    const server = await Server.start({ children: 2, args });
    const first = await RawClient.greeted(server.port);
    const second = new RawClient(server.port);
    expect(await second.rest()).toMatch(/^error busy: /);
    first.send("root:x\n");
    expect(await first.rest()).toMatch(/error unauthorized: /);
    await closeAll([first, second]);
    expect(look(server).refused).toMatchObject({ busy: 1, unauthorized: 1 });
    expect(textOf(server)).toContain("2 refused (unauthorized 1, busy 1)\n");
    await server.stop();
  });

  test("says that the keeper is stopped, or that there is none", async () => {
    const server = await Server.start({ children: 1, args: PER_REQUEST });
    const { pid = 0 } = look(server).keeper ?? {};
    await halt(pid);
    expect(look(server).problems).toEqual([
      `the keeper (pid ${pid}) is stopped: requests in work go on, and all other clients wait`,
    ]);
    await halt(server.supervisor); // or it would start another
    signal(pid, "SIGKILL");
    await until("the keeper has ended", () => look(server).keeper?.life === "gone");
    expect(look(server).problems).toContainEqual(expect.stringMatching(/^there is no keeper: /));
    signal(server.supervisor, "SIGCONT");
    await until("there is another", () => look(server).ok);
    expect(look(server).keeper?.pid).not.toBe(pid);
    await server.stop();
  });
});

describe("the status of a server in trouble", () => {
  test("needs nothing of a stopped front", async () => {
    const server = await Server.start({ children: 3 });
    await halt(server.front);
    const client = await RawClient.greeted(server.port);
    const text = textOf(server);
    expect(text).toContain(`problem   the front (pid ${server.front}) is stopped: `);
    expect(text).toMatch(/\n {2}[_R]{3}\n/);
    expect(look(server)).toMatchObject({ front: { life: "stopped" }, queue: { waiting: 0 } });
    await client.close();
    server.command.kill("SIGCONT");
    await until("nothing is wrong with the server", () => look(server).ok);
    expect((await server.stop()).code).toBe(0);
  });

  test("names a stopped supervisor, and the child that it does not replace", async () => {
    const server = await Server.start({ children: 2 });
    const { supervisor } = server;
    await halt(supervisor);
    expect(look(server).problems).toEqual([
      `the supervisor (pid ${supervisor}) is stopped: no child is forked`,
    ]);
    signal(supervisor, "SIGCONT");
    await until("nothing is wrong with the server", () => look(server).ok);
    await server.stop();
  });

  test("names a killed front, until the last of its requests is done", async () => {
    const server = await Server.start({ children: 2, work: "sleep:2s" });
    const client = await working(server);
    server.command.kill("SIGKILL");
    await until("the front is gone", () => server.command.hasEnded);
    expect(look(server).problems).toContainEqual(
      `the front (pid ${server.front}) is gone: the server is ending`,
    );
    await client.rest();
    await client.close();
  });
});

describe("which server", () => {
  test("of several, the port says which; without it: exit 2", async () => {
    const [one, two] = [
      await Server.start({ children: 1 }),
      await Server.start({ children: 2 }),
    ] as const;
    const { code, stdout, stderr } = await run("status");
    expect(code).toBe(2);
    expect(stdout).toBe("");
    for (const { port, front } of [one, two])
      expect(stderr).toContain(`127.0.0.1:${port} (pid ${front})`);
    expect(stderr).toContain("give the port of one");
    const byPort = await run("status", String(two.port));
    expect(byPort).toMatchObject({ code: 0, stderr: "" });
    expect(byPort.stdout).toContain("static: 2 children\n");
    const byPid = await run("status", "--pid", String(one.front));
    expect(byPid.stdout).toContain("static: 1 child\n");
    await one.stop();
    await two.stop();
  });

  test("none is exit 3", async () => {
    expect(await run("status", "1")).toMatchObject({
      code: 3,
      stdout: "",
      // Further servers, of other users, may be named.
      stderr: expect.stringMatching(/^kilofork: no server is running on port 1(;.*)?\n$/),
    });
  });

  // Only the superuser may become another user.
  test.skipIf(!isRoot)("another user's is refused by its name", async () => {
    const server = await Server.start({ children: 1 });
    const nobody = new Command(
      [
        ...["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, commandPath],
        ...["status", String(server.port)],
      ],
      "setpriv",
    );
    const { code, stdout, stderr } = await nobody.end();
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toMatch(
      new RegExp(`the server with pid ${server.front} belongs to ${look(server).owner}: only `),
    );
    await server.stop();
  });
});

// Only the superuser may mount.
test.skipIf(!isRoot)("without a list of users, the owner is a number", async () => {
  const server = await Server.start({ children: 1 });
  const script = 'mount -t tmpfs none /etc && exec "$@"';
  const asked = [process.execPath, commandPath, "status", String(server.port)];
  const args = ["--mount", "sh", "-c", script, "sh", ...asked];
  const { stdout } = await new Command(args, "unshare").end();
  expect(stdout).toContain("   user uid 0\n");
  await server.stop();
});

/** A copy of a server's segment, locked as a server locks it; its header names the given front. */
async function plant(server: Server, name: string, front: number): Promise<Command> {
  const [original = ""] = segmentsOf(server.front);
  const bytes = readFileSync(join("/dev/shm", original));
  bytes.writeInt32LE(front, 28);
  for (const place of [80, 336, 400, 912]) bytes.write("\x1b[2J\x9b\0", place, "utf8"); // the texts
  writeFileSync(join("/dev/shm", name), bytes, { mode: 0o600 });
  const holder = new Command(["-s", "--no-fork", join("/dev/shm", name), "sleep", "600"], "flock");
  await until("the segment is locked", () => Scoreboard.lives(`/${name}`));
  return holder;
}

describe("a segment that no server has made", () => {
  test("gets no signal sent to the process that it names, and no control sequence to the terminal", async () => {
    const server = await Server.start({ children: 1 });
    const victim = new Command(["600"], "sleep");
    for (const [inName, expected] of [
      [victim.pid, `process ${victim.pid} is no front: `],
      [server.front, "is forged: it names another front"],
    ] as const) {
      const name = `kilofork-${inName}-${victim.pid.toString(16)}`;
      const holder = await plant(server, name, victim.pid);
      const order = await run("ctl", "stop", "--pid", String(victim.pid), "--timeout", "1s");
      const status = await run("status", "--pid", String(victim.pid));
      rmSync(join("/dev/shm", name));
      holder.kill("SIGKILL");
      await holder.end();
      expect(order).toMatchObject({ code: 3, stderr: expect.stringContaining(expected) });
      expect(status.code).toBe(inName === victim.pid ? 0 : 3);
      expect(`${order.stderr}${status.stdout}${status.stderr}`).not.toMatch(/[^\P{Cc}\n]/u);
    }
    expect(readFileSync(`/proc/${victim.pid}/stat`, "utf8")).toContain("(sleep) S ");
    victim.kill("SIGKILL");
    await victim.end();
    await server.stop();
  });
});

describe("whatever another user puts into the folder of segments", () => {
  const nameOf = (front: number) => join("/dev/shm", `kilofork-${front}-0123abcd`);

  test("a fifo, a folder, a link and a segment of 4,000,000,000 slots hold nothing up", async () => {
    const server = await Server.start({ children: 1 });
    const bytes = readFileSync(join("/dev/shm", segmentsOf(server.front)[0] ?? ""));
    const slots = 4_000_000_000;
    bytes.writeUInt32LE(slots, 20);
    bytes.writeUInt32LE(0, 24); // users
    const [fifo = "", folder = "", link = "", huge = ""] = [1, 2, 3, 4].map(nameOf);
    try {
      execFileSync("mkfifo", [fifo]);
      mkdirSync(folder);
      symlinkSync(basename(link), link);
      writeFileSync(huge, bytes.subarray(0, 4096));
      truncateSync(huge, Math.ceil((4096 + 128 + slots * 144) / 4096) * 4096);
      for (const args of [["status"], ["ctl", "reopen"]])
        expect(await run(...args, String(server.port))).toMatchObject({ code: 0, stderr: "" });
      for (const front of [1, 2, 3, 4])
        expect(await run("status", "--pid", String(front))).toMatchObject({
          code: 3,
          stderr: expect.stringMatching(/^kilofork: no server is running with pid .*\n$/),
        });
      await (await Server.start({ children: 1 })).stop(); // which sweeps
    } finally {
      for (const path of [fifo, folder, link, huge]) rmSync(path, { recursive: true, force: true });
    }
    await server.stop();
  });

  test("a segment that shrinks while it is watched is an error, and no signal", async () => {
    const server = await Server.start({ children: 1 });
    const victim = new Command(["600"], "sleep");
    const name = `kilofork-${victim.pid}-0123abcd`;
    const holder = await plant(server, name, victim.pid);
    const watch = new Command(["status", "--pid", String(victim.pid), "--watch", "10ms"]);
    await until("it is watched", () => watch.stdout.includes("pool"));
    truncateSync(join("/dev/shm", name), 0);
    const { code, signal, stderr } = await watch.end();
    rmSync(join("/dev/shm", name));
    for (const process of [holder, victim]) process.kill("SIGKILL");
    await Promise.all([holder.end(), victim.end(), server.stop()]);
    expect({ code, signal }).toEqual({ code: 1, signal: null });
    expect(stderr).toMatch(/^kilofork: shared memory that has shrunk: [^\n]+\n$/);
  });
});

describe("--json", () => {
  test("prints one object and nothing else", async () => {
    const server = await Server.start({ children: 2 });
    const { stdout, stderr, code } = await run("status", String(server.port), "--json");
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(JSON.parse(stdout)).toMatchObject({
      kind: "status",
      schema: 1,
      ok: true,
      problems: [],
      port: server.port,
      front: { pid: server.front, life: "running" },
      limits: { pool: "static", max: 2, backlog: 4096 },
      slots: "__",
    });
    await server.stop();
  });
});

describe("--watch", () => {
  test("without a terminal, prints one frame after another, and ends with the server", async () => {
    const server = await Server.start({ children: 2, work: "sleep:10m" });
    const watch = new Command(["status", String(server.port), "--watch", "20ms"]);
    const frames = () => watch.stdout.match(/^kilofork \d/gm)?.length ?? 0;
    await until("there are three frames", () => frames() >= 3);
    const [client] = await server.occupy(1);
    await until("the client is seen", () => watch.stdout.includes("1 busy   1 idle"));
    await client?.close();
    await server.stop("SIGQUIT");
    const { code, stdout, stderr } = await watch.end();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toContain("\x1b");
    expect(stdout).toMatch(
      new RegExp(`\n127\\.0\\.0\\.1:${server.port}: the server has ended after 0 requests\n$`),
    );
  });

  test("with --json, prints an object on each line, and reports the end on standard error", async () => {
    const server = await Server.start({ children: 2 });
    const watch = new Command(["status", String(server.port), "--watch", "20ms", "--json"]);
    await until("there are three lines", () => watch.stdout.split("\n").length > 3);
    await server.stop();
    const { code, stdout, stderr } = await watch.end();
    expect(code).toBe(0);
    for (const line of stdout.trimEnd().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ kind: "status", port: server.port });
    expect(stderr).toContain("the server has ended");
  });

  test("ends with a server that was killed with all its processes", async () => {
    const server = await Server.start({ children: 1 });
    const watch = new Command(["status", String(server.port), "--watch", "20ms"]);
    await until("the command shows the server", () => watch.stdout.includes("idle"));
    const everyone = [server.front, server.supervisor, ...server.slots().map(({ pid }) => pid)];
    for (const pid of everyone) signal(pid, "SIGSTOP");
    for (const pid of everyone) signal(pid, "SIGKILL");
    expect((await watch.end()).stdout).toContain("the server has ended");
    await (await Server.start({ children: 1 })).stop(); // sweeps the segment
  });

  test.each([
    ["Ctrl-C", -2],
    ["the end of the server", 0],
  ] as const)(
    "on a terminal, draws in place and gives the cursor back after %s",
    async (how, exitCode) => {
      const server = await Server.start({ children: 2 });
      const { code, output, errors } = await runOnTerminal({
        argv: [process.execPath, commandPath, "status", String(server.port), "--watch", "20ms"],
        when: { text: "static: 2", times: 3 },
        act: how === "Ctrl-C" ? how : server.front,
        ...{ rows: 12, columns: 40 },
      });
      expect(errors).toBe("");
      expect(output).toContain("static: 2 children");
      expect(output.split("\x1b[?25l")).toHaveLength(2);
      expect(output.split("\x1b[?25h")).toHaveLength(2);
      const [frames = "", rest] = output.slice(output.indexOf("\x1b[?25l")).split("\x1b[?25h");
      expect(frames).toContain("\x1b[11A"); // of 12 lines, one is left for the cursor
      for (const line of frames.split("\r\n").slice(1))
        expect(line.split("\x1b[")[0]?.length).toBeLessThanOrEqual(40);
      expect(rest?.includes("the server has ended")).toBe(exitCode === 0);
      expect(code).toBe(exitCode);
      await server.stop();
    },
  );
});

// ---- the text -----------------------------------------------------------------------------------

const zeros = <Name extends string>(names: readonly Name[]) =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;

/** A server whose first slots have these letters; the rest is vacant. */
function madeUp(max: number, letters: string, changes: Partial<Status> = {}): Status {
  const slots = letters.padEnd(max, ".");
  const slotsByState = zeros(STATES);
  for (const state of STATES) slotsByState[state] = slots.split(LETTERS[state]).length - 1;
  const alive = max - slotsByState.vacant;
  return {
    kind: "status",
    schema: 1,
    ok: true,
    problems: [],
    release: "0.1.0",
    host: "localhost",
    address: "127.0.0.1",
    port: 31337,
    owner: "kilo",
    startedMs: 0,
    upMs: 8_040_000,
    front: { pid: 29755, life: "running" },
    supervisor: { pid: 29756, life: "running" },
    keeper: null,
    limits: { pool: "static", start: max, minSpare: 0, maxSpare: max, max, backlog: 4096 },
    brake: "none",
    full: { times: 0, nowMs: null, totalMs: 0 },
    queue: { waiting: 0, limit: 4096, dropped: 0 },
    requests: 0,
    connections: 0,
    refused: zeros(REFUSALS),
    requestsPerSecond: 0,
    sampleMs: 1000,
    oldestRequest: null,
    slotsByState,
    children: {
      alive,
      forked: alive,
      retired: 0,
      died: 0,
      forkedByCause: { ...zeros(CAUSES), start: alive },
      endedByCause: zeros(CAUSES),
      ofOlderGeneration: 0,
      onOlderLog: 0,
    },
    log: { path: "/var/log/kilofork.log", inPlace: true, ...NOT_SYNCED },
    memory: null,
    slots,
    ...changes,
  };
}

const NOT_SYNCED = {
  reader: null,
  takenBack: 0,
  sync: { acknowledges: false, syncer: 0, syncs: 0, requests: 0, lastMs: 0, error: 0 },
};

const picture = (status: Status) => showStatus(status).split("\n\n").at(-1)?.split("\n") ?? [];
const LEGEND = "  _ idle  S starting  R reading  W working  > replying  G stopping  . vacant";

describe("the text", () => {
  test("has these lines", () => {
    const status = madeUp(1000, "W".repeat(634) + "_".repeat(6), {
      limits: { pool: "dynamic", start: 5, minSpare: 5, maxSpare: 10, max: 1000, backlog: 4096 },
      requestsPerSecond: 211.4,
      oldestRequest: { pid: 30112, ageMs: 2900 },
      requests: 1_204_551,
      connections: 98_000,
      refused: { ...zeros(REFUSALS), unauthorized: 300, timeout: 12 },
      children: {
        alive: 640,
        forked: 4120,
        retired: 3477,
        died: 3,
        forkedByCause: { ...zeros(CAUSES), start: 5, "spare low": 4000, queue: 115 },
        endedByCause: { ...zeros(CAUSES), idle: 3401, recycled: 76, killed: 2, crashed: 1 },
        ofOlderGeneration: 0,
        onOlderLog: 0,
      },
      memory: { bytesPerChild: 96 * 1024, bytesOfChildren: 640 * 96 * 1024, childrenRead: 100 },
    });
    expect(showStatus(status)).toBe(`\
kilofork 0.1.0   127.0.0.1:31337   pid 29755   up 2 h 14 min   user kilo

pool      dynamic: 640 of at most 1,000 children, spare 5 to 10
          634 busy   6 idle   0 starting   0 stopping   at maximum: never
now       211 requests/s (sampled 1.00 s)   oldest request 2.90 s, pid 30112
queue     0 waiting of 4,096   0 handshakes dropped
total     1,204,551 requests   98,000 connections   312 refused (unauthorized 300, timeout 12)
children  4,120 forked = 640 alive + 3,477 retired + 3 died
          forked for  start 5, spare low 4,000, queue 115
          retired     idle 3,401, recycled 76
          died        crashed 1, killed 2
log       /var/log/kilofork.log   all children on this file
memory    60 MB (96 kB a child, 100 of them read): private memory and page tables

  ${"W".repeat(50)}
  WWWWWWWWWWWWW+....................................
  10 slots a letter
${LEGEND}  + mixed`);
  });

  test("has a letter for each of 20 slots", () => {
    expect(picture(madeUp(20, "SRW>G_"))).toEqual(["  SRW>G_..............", LEGEND]);
  });

  test("has a letter for 10 of 640 slots, and of 1000", () => {
    expect(picture(madeUp(640, "W".repeat(639)))).toEqual([
      `  ${"W".repeat(50)}`,
      `  ${"W".repeat(13)}+`,
      "  10 slots a letter",
      `${LEGEND}  + mixed`,
    ]);
    expect(picture(madeUp(1000, "_".repeat(1000)))).toEqual([
      `  ${"_".repeat(50)}`,
      `  ${"_".repeat(50)}`,
      "  10 slots a letter",
      `${LEGEND}  + mixed`,
    ]);
  });

  test("has a letter for 100 of 30,000 slots, in six rows", () => {
    const rows = picture(madeUp(30_000, "W".repeat(10_050) + "_".repeat(19_950)));
    expect(rows).toHaveLength(8);
    expect(rows.slice(0, 6).join("").replaceAll(" ", "")).toBe(
      `${"W".repeat(100)}+${"_".repeat(199)}`,
    );
    expect(rows[6]).toBe("  100 slots a letter");
  });

  test.each([500, 501, 5000, 5001, 1_000_000])("never has more than ten rows: %i slots", (max) => {
    const rows = picture(madeUp(max, "")).filter((row) => /^ {2}\.+$/.test(row));
    expect(rows.length).toBeLessThanOrEqual(10);
    expect(Math.max(...rows.map((row) => row.length))).toBe(52);
  });

  test("says for how long the pool was, and is, at its maximum", () => {
    const full = (times: number, nowMs: number | null, totalMs: number) =>
      /at maximum: (.*)/.exec(showStatus(madeUp(20, "", { full: { times, nowMs, totalMs } })))?.[1];
    expect(full(0, null, 0)).toBe("never");
    expect(full(1, 12_000, 12_000)).toBe("now for 12.0 s");
    expect(full(3, null, 40_000)).toBe("3 times, 40.0 s in all");
    expect(full(3, 12_000, 90_000)).toBe("now for 12.0 s (3 times, 1 min 30 s in all)");
  });

  test("names problems first, and leaves out what is not known", () => {
    const text = showStatus(
      madeUp(20, "_", {
        ok: false,
        problems: ["the queue cannot be seen: x"],
        queue: null,
        log: { path: "-", inPlace: null, ...NOT_SYNCED },
      }),
    );
    expect(text).toContain("user kilo\nproblem   the queue cannot be seen: x\n\npool ");
    expect(text).toContain("static: 1 of 20 children\n");
    expect(text).toContain("queue     unknown of 4,096\n");
    expect(text).toContain("log       standard output\n");
    expect(text).toContain("memory    unknown: only root may read it\n");
  });

  test("long times are in two units", () => {
    expect([450, 59_000, 60_000, 3_725_000, 93_600_000].map(showAge)).toEqual([
      "450 ms",
      "59.0 s",
      "1 min 0 s",
      "1 h 2 min",
      "1 d 2 h",
    ]);
  });
});

test("a server whose shared memory was removed says so once, and is found by status and ctl", async () => {
  const server = await Server.start({ children: 3 });
  for (const name of segmentsOf(server.front)) unlinkSync(`/dev/shm/${name}`);
  await until("it is said", () => /shared memory .* was removed/.test(server.command.stderr));
  const pid = ["--pid", String(server.front)];
  const status = await run("status", ...pid, "--json");
  expect(JSON.parse(status.stdout)).toMatchObject({ port: server.port, children: { alive: 3 } });
  expect((await run("ctl", "replace", ...pid)).code).toBe(0);
  const { code, stdout } = await run("ctl", "stop", ...pid);
  expect(stdout).toContain("stopped after 0 requests");
  expect(code).toBe(0);
  const { stderr } = await server.command.end();
  expect(stderr.match(/was removed/g)).toHaveLength(1);
});
