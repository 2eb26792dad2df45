/** Processes of a server fail at bad moments: the others go on, and the books stay exact. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { endProcess, ourProcesses, processes, temporaryFolder } from "./support/cleanup";
import { run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { canTrace, inject } from "./support/strace";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

const ctl = (verb: string, server: Server, ...args: string[]) =>
  run("ctl", verb, String(server.port), ...args);

/** A server whose forked processes the test finds. */

describe("a supervisor that is killed", () => {
  test("with unread orders is replaced by the front", async () => {
    const server = await Server.start({ children: 5 });
    const { supervisor } = server;
    process.kill(supervisor, "SIGSTOP");
    renameSync(server.log, `${server.log}.1`);
    server.command.kill("SIGUSR1");
    await until("the order is given", () => server.command.stderr.includes("log opened again"));
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    expect((await ctl("reopen", server)).code).toBe(0); // it writes to the new log
    expect((await server.client(5, "arijort:x")).requests.verified).toBe(5);
    expect(server.records(/recvd message/)).toHaveLength(5);
    expect((await server.stop()).code).toBe(0);
  });

  test("is replaced, and the new children write to a log that was reopened in between", async () => {
    const server = await Server.start({ children: 3 });
    const { supervisor, front } = server;
    const children = () =>
      readFileSync(`/proc/${front}/task/${front}/children`, "utf8").match(/\d+/g) ?? [];
    const isSuccessor = (pid: string) =>
      pid !== String(supervisor) && readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("kilo");
    process.kill(supervisor, "SIGKILL");
    let successor: string | undefined;
    // Without a pause: it must be stopped before it starts.
    while (successor === undefined) successor = children().find(isSuccessor);
    process.kill(Number(successor), "SIGSTOP");
    renameSync(server.log, `${server.log}.1`);
    server.command.kill("SIGUSR1");
    await until("the order is given", () => server.command.stderr.includes("log opened again"));
    process.kill(Number(successor), "SIGCONT");
    await server.untilOtherSupervisor(supervisor);
    expect((await server.client(5, "arijort:x")).requests.verified).toBe(5);
    expect(server.records(/recvd message/)).toHaveLength(5);
    expect((await server.stop()).code).toBe(0);
  });

  test("while the spawn log is full is replaced by the front", async () => {
    const server = await Server.start({ children: 3, args: ["--spawn-log", "/dev/full"] });
    const { supervisor } = server;
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    expect((await server.stop()).code).toBe(0);
  });

  test("repeatedly while it forks: the books miss no child, and count none twice", async () => {
    const server = await Server.start({ children: 200 });
    for (let round = 0; round < 8; round++) {
      const { supervisor } = server;
      process.kill(supervisor, "SIGKILL");
      await until(
        "there is another supervisor",
        () => ![0, supervisor].includes(server.supervisor),
      );
      await sleep(Math.random() * 15);
      // The front ends after five supervisors that died at their start.
      if (round % 3 === 2) await server.untilIdle();
    }
    await server.untilIdle();
    const { forked, ended, alive } = server.tally();
    expect(forked - ended).toBe(alive);
    expect((await server.stop()).code).toBe(0);
    expect(server.audit().problems).toEqual([]);
  });

  test.skipIf(!canTrace)(
    "when it is about to record the end of its only child: the books balance",
    async () => {
      const server = await Server.start({ children: 1, args: ["--ack", "synced"] });
      const [child] = server.slots();
      const client = await RawClient.greeted(server.port);
      // strace kills the child between its completed record and its count, and the supervisor at its
      // next record, which is that of the end.
      await inject(child?.pid ?? 0, "futex", "signal=KILL:when=1");
      await inject(server.supervisor, "write", "signal=KILL:when=1");
      const { supervisor } = server;
      client.send("arijort:lalala\n");
      await server.untilOtherSupervisor(supervisor);
      expect(server.tally()).toEqual({ forked: 2, ended: 1, alive: 1 });
      await client.close();
      await server.stop();
      expect(server.records(/ended: .*abnormal/).length).toBeGreaterThan(0);
      expect(server.audit()).toMatchObject({ problems: [], runs: [{ ledger: { completed: 1 } }] });
    },
  );

  test("in the middle of a replacement leaves no child of the old epoch", async () => {
    const server = await Server.start({ children: 40 });
    const { supervisor } = server;
    const old = new Set(server.slots().map(({ pid }) => pid));
    const replaced = ctl("replace", server);
    await until("the replacement has begun", () => server.scoreboard.header().childEpoch > 1);
    process.kill(server.supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    await replaced;
    expect(server.slots().filter(({ pid }) => old.has(pid))).toEqual([]);
    await server.stop();
  });
});

test("a supervisor that finds many children dead at once, and the forker, reaps and replaces each", async () => {
  const server = await Server.start({ children: 100 });
  const { supervisor } = server;
  // The new forker is younger than most children: it is not the first that waitpid() finds.
  process.kill(server.scoreboard.header().forker, "SIGKILL");
  process.kill(server.slots()[0]?.pid ?? 0, "SIGKILL");
  await until("the first successor is forked", () => server.tally().forked === 101);
  await server.untilIdle();
  const { forker } = server.scoreboard.header();
  process.kill(supervisor, "SIGSTOP");
  const dead = server.slots().map(({ pid }) => pid);
  for (const pid of [forker, ...dead]) process.kill(pid, "SIGKILL");
  process.kill(supervisor, "SIGCONT");
  await until("all ends are counted", () => server.tally().ended === 101);
  await server.untilIdle();
  expect(server.tally()).toEqual({ forked: 201, ended: 101, alive: 100 });
  expect(server.records(/ended: signal 9, abnormal/)).toHaveLength(101);
  await until("the forker has been reaped", () => !existsSync(`/proc/${forker}`));
  expect(server.slots().filter(({ pid }) => dead.includes(pid))).toEqual([]);
  expect((await server.stop()).code).toBe(0);
  expect(server.audit().problems).toEqual([]);
});

describe("a forker", () => {
  const untilAnother = (server: Server, before: number) =>
    until(
      "there is another forker",
      () => ![0, before].includes(server.scoreboard.header().forker),
    );

  test("that is killed is replaced when a child is needed, and no client is lost", async () => {
    const server = await Server.start({ children: 5 });
    const { forker } = server.scoreboard.header();
    process.kill(forker, "SIGKILL");
    process.kill(server.slots()[0]?.pid ?? 0, "SIGKILL");
    await untilAnother(server, forker);
    await server.untilIdle();
    expect(server.tally()).toEqual({ forked: 6, ended: 1, alive: 5 });
    await server.stop();
  });

  test("that is stopped is replaced, and a child that it forks later gets no slot", async () => {
    const server = await Server.start({ children: 5 });
    const { forker } = server.scoreboard.header();
    process.kill(forker, "SIGSTOP");
    process.kill(server.slots()[0]?.pid ?? 0, "SIGKILL");
    await untilAnother(server, forker);
    await server.untilIdle();
    expect((await server.client(5, "arijort:x")).requests.verified).toBe(5);
    await server.stop();
  });

  test.skipIf(!isRoot)(
    "that is killed repeatedly while it forks puts no two children into one slot",
    async () => {
      const CHILDREN = 24;
      const server = await Server.start({ children: CHILDREN });
      for (let round = 0; round < 60; round++) {
        const { forker } = server.scoreboard.header();
        for (const { pid } of server.slots().slice(4)) process.kill(pid, "SIGKILL");
        await sleep(Math.random() * 2);
        // That of the round before may have been reaped only now.
        if (server.scoreboard.header().forker === forker && forker > 0) endProcess(forker);
        await until(
          "the killed children are reaped",
          () => server.tally().ended >= 20 * (round + 1),
        );
        await server.untilIdle();
        expect(ourProcesses(/^kilofork-child$/)).toHaveLength(CHILDREN);
      }
      await server.stop();
      expect(server.audit().problems).toEqual([]);
    },
  );

  test.skipIf(!isRoot)(
    "that is killed while it forks the first children is replaced, and the server starts",
    async () => {
      const killed = Server.start({ children: 3000 });
      await until("there is a child", () => ourProcesses(/^kilofork-child$/).length > 0);
      const [forker = 0] = ourProcesses(/^kilofork-forker$/).sort((a, b) => a - b);
      process.kill(forker, "SIGKILL");
      const server = await killed;
      await server.untilIdle();
      expect(server.scoreboard.header().forker).not.toBe(forker);
      expect(server.command.stderr).not.toContain("fork failed");
      await server.stop();
    },
  );

  test.each(["replace, then stop", "replace, then kill the supervisor"])(
    "that is stopped does not outlive its supervisor: %s",
    async (what) => {
      const server = await Server.start({ children: 5 });
      const { supervisor } = server;
      process.kill(server.scoreboard.header().forker, "SIGSTOP");
      expect((await ctl("replace", server)).code).toBe(0);
      if (what.endsWith("supervisor")) {
        process.kill(supervisor, "SIGKILL");
        await server.untilOtherSupervisor(supervisor);
      }
      expect((await server.stop()).code).toBe(0);
    },
  );

  test("that is stopped does not keep the front from starting another supervisor", async () => {
    const server = await Server.start({ children: 5 });
    const { supervisor } = server;
    process.kill(server.scoreboard.header().forker, "SIGSTOP");
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    await server.stop();
  });
});

test.skipIf(!canTrace)(
  "a kernel that refuses the filter of system calls ends the start, with one line",
  async () => {
    // The fifth prctl(2) of the forker is PR_SET_SECCOMP; no other process calls it five times.
    const inject = ["-e", "trace=prctl", "-e", "inject=prctl:error=EINVAL:when=5"];
    const log = join(temporaryFolder(), "log");
    const serve = ["bin/kilofork.cjs", "serve", "127.0.0.1", "0", "--children", "2", "--log", log];
    const traced = spawn(
      "strace",
      ["-f", "-qq", "-o", "/dev/null", ...inject, process.execPath, ...serve],
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: { ...process.env, ...processes.environment },
      },
    );
    const said = text(traced.stderr);
    const [code] = await once(traced, "close");
    expect(await said).toMatch(
      /^kilofork: the kernel refuses the filter of system calls \(EINVAL .*KILOFORK_UNFILTERED=1.*\n$/,
    );
    expect(code).toBe(1);
    expect(readFileSync(log, "utf8")).toContain("Server stop");
  },
);

test("a fifo as spawn log is refused, with and without a reader", async () => {
  const fifo = join(temporaryFolder(), "fifo");
  execFileSync("mkfifo", [fifo]);
  const log = join(temporaryFolder(), "log");
  const { code, stderr } = await run("serve", "127.0.0.1", "0", "--log", log, "--spawn-log", fifo);
  expect(stderr).toMatch(/cannot open the spawn log/);
  expect(code).toBe(2);
});

describe("a child that is stopped (SIGSTOP)", () => {
  test("does not keep the others from being replaced", async () => {
    const server = await Server.start({ children: 6 });
    const stuck = server.slots()[0]?.pid ?? 0;
    process.kill(stuck, "SIGSTOP");
    const { code, stderr } = await ctl("replace", server, "--timeout", "4s");
    expect(stderr).toContain("1 old child is left");
    expect(code).toBe(1);
    expect(server.scoreboard.header().ended.replaced).toBe(5);
    process.kill(stuck, "SIGCONT");
    await until(
      "the last child is replaced",
      () => server.scoreboard.header().ended.replaced === 6,
    );
    await server.stop();
  });

  test("while idle does not count as a request that a stop aborted", async () => {
    const server = await Server.start({ children: 3, args: ["--grace", "100ms"] });
    process.kill(server.slots()[0]?.pid ?? 0, "SIGSTOP");
    expect((await server.stop()).code).toBe(0);
    expect(server.audit().problems).toEqual([]);
  });
});

test("a replacement retires one part of the pool after the other, also of a pool below its maximum", async () => {
  const folder = temporaryFolder();
  const spawnLog = join(folder, "spawn.jsonl");
  const pool = { start: 10, minSpare: 5, maxSpare: 10, max: 1000 };
  const server = await Server.start({ folder, pool, args: ["--spawn-log", spawnLog] });
  await server.untilIdle();
  expect((await ctl("replace", server)).code).toBe(0);
  const alive = readFileSync(spawnLog, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; cause: string; alive: number })
    .filter(({ event, cause }) => event === "end" && cause === "replaced")
    .map((event) => event.alive);
  expect(alive).toHaveLength(10);
  expect(Math.min(...alive)).toBe(9);
  await server.stop();
});

// Only the superuser can limit the processes of another user.
test.skipIf(!isRoot)("while no child can be forked, none is retired", async () => {
  const folder = temporaryFolder();
  chmodSync(folder, 0o777);
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const pool = { start: 25, minSpare: 5, maxSpare: 10, max: 50, shrinkAfter: "400ms" };
  const server = await Server.start({ pool, folder, via: nobody });
  const [program = "", ...asNobody] = nobody;
  execFileSync(program, [
    ...asNobody,
    "prlimit",
    `--pid=${server.scoreboard.header().forker}`,
    "--nproc=1:",
  ]);
  for (const { pid } of server.slots().slice(0, 20)) process.kill(pid, "SIGKILL");
  await until("forks fail", () => server.scoreboard.header().growthLimit === "processes");
  await sleep(1500);
  expect(server.count("idle")).toBe(5);
  const client = await RawClient.greeted(server.port);
  await client.close();
  await server.stop();
});

describe("orders", () => {
  test("to reopen the log are done when the supervisor has received them, not before", async () => {
    const server = await Server.start({ children: 3 });
    const { supervisor } = server;
    process.kill(supervisor, "SIGSTOP");
    renameSync(server.log, `${server.log}.1`);
    const waiting = await ctl("reopen", server, "--timeout", "300ms");
    expect(waiting).toMatchObject({ code: 1, stderr: expect.stringContaining("3 child") });
    process.kill(supervisor, "SIGCONT");
    await until("the log is settled", () => server.scoreboard.header().logSettled === 1);
    await server.stop();
  });

  test("given at the same time get an answer each", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "arijort\n");
    const server = await Server.start({ folder, args: ["--users", users] });
    writeFileSync(users, "bad:name\n");
    for (let round = 0; round < 6; round++) {
      const [reload, reopen] = await Promise.all([ctl("reload", server), ctl("reopen", server)]);
      expect(reload.code).toBe(1);
      expect(reopen.code).toBe(0);
    }
    await server.stop();
  });

  test("to stop, given twice by ctl, still wait for the request in work", async () => {
    const server = await Server.start({ children: 2, work: "sleep:1500ms" });
    const client = await RawClient.greeted(server.port);
    client.send("arijort:x\n");
    await until("a child works", () => server.count("working") === 1);
    const first = ctl("stop", server);
    await until("the server stops", () => server.scoreboard.header().stopping);
    const both = await Promise.all([first, ctl("stop", server)]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    await client.close();
    await server.command.end();
  });

  test("to reload read the users, although the log cannot be opened again", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "arijort\n");
    const server = await Server.start({ folder, args: ["--users", users] });
    renameSync(server.log, `${server.log}.1`);
    mkdirSync(server.log);
    writeFileSync(users, "second\n");
    const { code, stderr } = await ctl("reload", server);
    expect(code).toBe(1);
    expect(stderr).toMatch(/users read again: second; log kept as it was/);
    const client = await RawClient.greeted(server.port);
    client.send("second:hello\n");
    await client.lines(2);
    await client.close();
    rmSync(server.log, { recursive: true });
    await server.stop();
  });
});

test("a full pool reports its maximum also when a client comes after a calm time", async () => {
  const server = await Server.start({ children: 2, work: "sleep:10m" });
  const busy = await server.occupy(2);
  await sleep(3000); // the pool is no longer sampled
  const waiting = new RawClient(server.port);
  waiting.send("arijort:waits\n");
  await until("the maximum is named", () => server.scoreboard.header().growthLimit === "maximum");
  await Promise.all([...busy, waiting].map((client) => client.close()));
  await server.stop("SIGQUIT");
});

test("a limit on the size of files is handled as a full disk", async () => {
  const folder = temporaryFolder();
  const via = ["prlimit", "--fsize=400000", "--"];
  const server = await Server.start({ children: 3, folder, via });
  const client = await server.client(3, `arijort:${"x".repeat(500)}`, "--requests", "300");
  expect(client.requests.failed).toBeGreaterThan(0);
  await server.untilIdle();
  expect(server.tally().ended).toBe(0);
  await until("the failure is reported", () =>
    /cannot write to the log .*: (ENOSPC|EFBIG)/.test(server.command.stderr),
  );
  await server.stop();
});
