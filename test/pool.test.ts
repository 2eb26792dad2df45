/** A dynamic pool grows with the load, shrinks, replaces its children, and keeps its books. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { canLimitMemory, canLimitProcesses, MemoryLimit, ProcessLimit } from "./support/cgroup";
import { forThisTest, processes, temporaryFolder } from "./support/cleanup";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

const SMALL = { start: 5, minSpare: 5, maxSpare: 10, max: 1000 };
const MEGABYTE = 2 ** 20;

const closeAll = (clients: readonly RawClient[]) =>
  Promise.all(clients.map((client) => client.close()));

/** Connects clients that need a child each, for longer than the test. */
function needChildren(server: Server, count: number): RawClient[] {
  const clients = Array.from({ length: count }, () => new RawClient(server.port));
  for (const client of clients) client.send("arijort:needs a child\n");
  return clients;
}

describe("growing", () => {
  test("1000 clients connect at once to 5 children: all are in flight at one instant", async () => {
    const server = await Server.start({ pool: SMALL, work: "sleep:3s" });
    const client = await server.client(1000, "arijort:grow");
    expect(client.requests).toMatchObject({ verified: 1000, failed: 0 });
    expect(client.synRetransmits).toBe(0);
    await server.stop();
    const { problems, runs } = server.audit(client);
    expect(problems).toEqual([]);
    expect(runs[0]?.peak).toBe(1000);
  });

  test("as many spare children are forked as are missing, and no more", async () => {
    const server = await Server.start({ pool: SMALL, work: "sleep:10m" });
    const clients = await server.occupy(20);
    await until("five children are idle", () => server.count("idle") === 5);
    await sleep(200); // long enough to fork more
    expect(server.tally()).toMatchObject({ alive: 25, forked: 25 });
    const { forked } = server.scoreboard.header();
    expect(forked.start).toBe(5);
    expect(forked.queue + forked["spare low"]).toBe(20);
    await closeAll(clients);
    await server.stop("SIGQUIT");
  });

  test("at its maximum, the pool says so, and clients wait until one leaves", async () => {
    const pool = { start: 2, minSpare: 1, maxSpare: 2, max: 4 };
    const server = await Server.start({ pool, work: "sleep:3s" });
    const busy = await server.occupy(4);
    const [waiting = new RawClient(server.port)] = needChildren(server, 1);
    await until(
      "the pool is at its maximum",
      () => server.scoreboard.header().growthLimit === "maximum",
    );
    expect(server.scoreboard.header().full).toMatchObject({ times: 1 });
    expect(server.scoreboard.header().full.nowMs).not.toBeNull();
    await until("the server has named the limit", () =>
      server.command.stderr.includes("all 4 children are busy, and clients wait"),
    );
    expect(waiting.text).not.toContain("recvd");
    await closeAll(busy);
    await waiting.lines(2);
    await waiting.close();
    await until("the pool is no longer full", () => server.scoreboard.header().full.nowMs === null);
    expect(server.scoreboard.header().growthLimit).toBe("none");
    expect(server.scoreboard.header().full.totalMs).toBeGreaterThan(0);
    await server.stop();
  });
});

// Only the superuser can change the limits and the memory of another process.
describe.skipIf(!isRoot)("a pool that is held back", () => {
  const pool = { start: 5, minSpare: 2, maxSpare: 5, max: 50 };

  test("by a limit of processes says so, serves on, and grows when it is lifted", async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o777);
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const server = await Server.start({ pool, folder, via: nobody, work: "sleep:10m" });
    const [program = "", ...asNobody] = nobody;
    const allow = (processes: number) => {
      const limit = [
        "prlimit",
        `--pid=${server.scoreboard.header().forker}`,
        `--nproc=${processes}:`,
      ];
      execFileSync(program, [...asNobody, ...limit]);
    };
    allow(1);
    const clients = needChildren(server, 20);
    await until("forks fail", () => server.scoreboard.header().growthLimit === "processes");
    await until("the server has named the limit", () =>
      /fork failed with EAGAIN beside 5 children; the nearest limit is .*\d/.test(
        server.command.stderr,
      ),
    );
    expect(server.tally().alive).toBe(5);
    allow(1000);
    await until("each has a child", () => server.count("working") === 20);
    await until(
      "nothing keeps the pool from growing",
      () => server.scoreboard.header().growthLimit === "none",
    );
    await closeAll(clients);
    await server.stop("SIGQUIT");
  });

  test("by too little memory says so, serves on, and grows when there is more", async () => {
    const folder = temporaryFolder();
    const meminfo = join(folder, "meminfo");
    const give = (megabytes: number) =>
      writeFileSync(meminfo, `MemTotal: 9999999 kB\nMemAvailable: ${megabytes * 1024} kB\n`);
    give(500);
    const mount = `mount --bind ${meminfo} /proc/meminfo && exec "$@"`;
    const via = ["unshare", "--mount", "sh", "-c", mount, "sh"];
    const server = await Server.start({ pool, folder, via, work: "sleep:10m" });
    give(65); // 64 are for others: there is room for seven
    const clients = needChildren(server, 20);
    await until("memory is too little", () => server.scoreboard.header().growthLimit === "memory");
    await until("the server has named the limit", () =>
      server.command.stderr.includes("too little memory is left"),
    );
    give(64);
    const { alive } = server.tally();
    await sleep(300);
    expect(server.tally().alive).toBe(alive);
    expect(alive).toBeLessThan(25);
    give(500);
    await until("each has a child", () => server.count("working") === 20);
    await until(
      "nothing keeps the pool from growing",
      () => server.scoreboard.header().growthLimit === "none",
    );
    await closeAll(clients);
    await server.stop("SIGQUIT");
  });
});

/** Holds so much memory until its standard input ends. A tail(1) of one line keeps all of it. */
function holdMemory(enter: readonly string[], bytes: number): ChildProcess {
  const [program = "", ...args] = enter;
  const hold = `{ head -c ${bytes} /dev/zero; cat; } | tail >/dev/null`;
  const env = { ...process.env, ...processes.environment };
  return spawn(program, [...args, "sh", "-c", hold], { env, stdio: ["pipe", "ignore", "ignore"] });
}

// Needs the superuser and a cgroup hierarchy that can be written.
describe.skipIf(!canLimitMemory)("the memory of a cgroup", () => {
  const GROWING = { start: 5, minSpare: 2, maxSpare: 5, max: 50 };
  test("keeps the pool from growing until there is more", async () => {
    const cgroup = forThisTest(new MemoryLimit());
    const server = await Server.start({ pool: GROWING, via: cgroup.enter, work: "sleep:10m" });
    cgroup.set(cgroup.current + 32 * 2 ** 20); // 64 MB are for others
    const clients = needChildren(server, 20);
    await until("memory is too little", () => server.scoreboard.header().growthLimit === "memory");
    expect(server.tally().alive).toBe(5);
    cgroup.set(2 ** 30);
    await until("each has a child", () => server.count("working") === 20);
    await closeAll(clients);
    await server.stop("SIGQUIT");
  });

  test("when it runs out, children are killed, and neither front nor supervisor", async () => {
    const cgroup = forThisTest(new MemoryLimit());
    const most = 100 * MEGABYTE; // more than the front maps, and less than twice that
    cgroup.set(most);
    const server = await Server.start({ children: 50, via: cgroup.enter });
    const { supervisor } = server;
    const killed = () => server.records(/ended: signal 9/).length;
    const other = holdMemory(cgroup.enter, most - cgroup.current);
    const ended = once(other, "exit");
    await until("some are killed", () => server.command.hasEnded || killed() > 0);
    await sleep(200); // for some more
    other.stdin?.end();
    await ended;
    expect(server.command.hasEnded).toBe(false);
    await server.untilIdle();
    expect(server.supervisor).toBe(supervisor);
    await server.stop();
  });
});

describe.skipIf(!canLimitProcesses)("the processes of a cgroup", () => {
  test("keep the pool from growing while room is left for a restart", async () => {
    const cgroup = forThisTest(new ProcessLimit());
    const pool = { start: 5, minSpare: 2, maxSpare: 5, max: 50 };
    const server = await Server.start({ pool, via: cgroup.enter, work: "sleep:10m" });
    cgroup.set(cgroup.current + 20); // of which 16 are for others
    const clients = needChildren(server, 20);
    await until("it is held", () => server.scoreboard.header().growthLimit === "processes");
    await until("the server has named the limit", () =>
      /beside \d children; the nearest limit is pids.max \d+ of the cgroup/.test(
        server.command.stderr,
      ),
    );
    await sleep(300); // long enough to fork more
    expect(server.tally().alive).toBe(9);
    cgroup.set("max");
    await until("each has a child", () => server.count("working") === 20);
    await closeAll(clients);
    await server.stop("SIGQUIT");
  });
});

test.skipIf(!isRoot)(
  "a pool beyond the limit of processes of the user of --run-as is refused",
  async () => {
    const log = join(temporaryFolder(), "log");
    const serve = ["serve", "127.0.0.1", "0", "--children", "300", "--log", log];
    const limited = ["--nproc=350", process.execPath, "bin/kilofork.cjs", ...serve];
    const { status, stderr } = spawnSync("prlimit", [...limited, "--run-as", "65534:65534"], {
      encoding: "utf8",
      timeout: 10_000, // or it would serve for ever
    });
    expect(stderr).toContain("300 children do not fit: the limit of 350 processes a user leaves");
    expect(status).toBe(1);
  },
);

describe("shrinking", () => {
  test("the longest idle retire first, down to the spare bounds, and the pool serves meanwhile", async () => {
    const server = await Server.start({
      pool: { ...SMALL, shrinkAfter: "800ms" },
      work: "sleep:300ms",
    });
    await closeAll(await server.occupy(150));
    const loop = server.client(1, "arijort:meanwhile", "--reconnect", "--duration", "3s");
    const least: number[] = [];
    await until("the pool has shrunk", () => {
      const { alive } = server.tally();
      least.push(alive);
      return alive <= 11; // ten idle, and the one with our client
    });
    await sleep(400); // long enough to shrink too far
    expect(Math.min(...least, server.tally().alive)).toBeGreaterThanOrEqual(10);
    expect((await loop).requests.failed).toBe(0);
    // A child that was retired a moment ago may still run.
    await until("all retired children have left", () => {
      const { idle } = server.scoreboard.header().ended;
      return idle === server.tally().ended && server.records(/ retires \(idle\)$/).length === idle;
    });
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });

  test("waves of load do not make the pool fork and retire in turn", async () => {
    const server = await Server.start({
      pool: { ...SMALL, shrinkAfter: "20s" },
      work: "sleep:300ms",
    });
    for (let wave = 0; wave < 8; wave++) {
      await closeAll(await server.occupy(100));
      await until("the wave is over", () => server.count("reading", "working", "replying") === 0);
      await sleep(150);
    }
    expect(server.tally().forked).toBeLessThanOrEqual(110); // 100 busy and ten spare, once
    expect(server.tally().ended).toBe(0);
    await server.stop();
  });
});

describe("replacement", () => {
  test("a child is recycled after its requests, between connections, and its count stays", async () => {
    const limits = ["--max-requests", "10", "--max-requests-jitter", "10"];
    const server = await Server.start({ children: 5, args: limits });
    const kept = await server.client(1, "arijort:kept", "--requests", "50");
    expect(kept).toMatchObject({ connections: 1, requests: { verified: 50 } });
    const client = await server.client(5, "arijort:new", "--requests", "100", "--reconnect");
    expect(client.requests).toMatchObject({ verified: 500, failed: 0 });
    await server.untilIdle();
    const { ended } = server.scoreboard.header();
    expect(ended.recycled).toBeGreaterThanOrEqual(500 / 20);
    expect(server.scoreboard.total()).toBe(550);
    expect(server.records(/ended: recycled, retired$/)).toHaveLength(ended.recycled);
    await server.stop();
    expect(server.audit()).toMatchObject({ ok: true, runs: [{ ledger: { counted: 550 } }] });

    const served = new Map<string, number>(); // of the recycled ones, by pid
    for (const line of server.records(/completed req "new/)) {
      const [, pid = "", count] = / on (\d+) total reqs (\d+)$/.exec(line) ?? [];
      served.set(pid, Number(count));
    }
    const recycled = new Set(
      server.records(/ended: recycled/).map((line) => /pid (\d+)/.exec(line)?.[1] ?? ""),
    );
    const counts = [...served].filter(([pid]) => recycled.has(pid)).map(([, count]) => count);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(10);
    expect(Math.max(...counts.filter((count) => count < 50))).toBeLessThanOrEqual(20);
    expect(new Set(counts).size).toBeGreaterThan(2); // they are not retired together
  });

  test("work that takes too long ends its child: no answer, a record with the time, a successor", async () => {
    const server = await Server.start({
      children: 2,
      work: "sleep:10m",
      args: ["--work-timeout", "150ms"],
    });
    const pids = server.slots().map((slot) => slot.pid);
    const client = await RawClient.greeted(server.port);
    client.send('arijort:stuck "one"\n');
    expect(await client.rest()).toBe(`this is server thread ${client.greeter}\n`);
    await client.close();
    await until("the child has a successor", () => server.tally().forked === 3);
    await server.untilIdle();
    const [expired = ""] = server.records(/work timeout: req/);
    const [, pid, ms] = /req "stuck \\"one\\"" on (\d+) after (\d+) ms$/.exec(expired) ?? [];
    expect(pids).toContain(Number(pid));
    expect(Number(ms)).toBeGreaterThanOrEqual(150);
    expect(server.records(/ended: work timeout, abnormal$/)).toHaveLength(1);
    expect(server.records(/have child pid \d+ \(work timeout\)$/)).toHaveLength(1);
    expect(server.scoreboard.header().ended["work timeout"]).toBe(1);
    await server.stop();
    expect(server.audit()).toMatchObject({
      ok: true,
      runs: [{ ledger: { died: 1, unfinished: 1 } }],
    });
  });

  test("work that ends within its time-out is never ended by it", async () => {
    const server = await Server.start({
      children: 5,
      work: "sleep:2ms",
      args: ["--work-timeout", "10s"],
    });
    const client = await server.client(5, "arijort:quick", "--requests", "200");
    expect(client.requests.verified).toBe(1000);
    expect(server.tally().ended).toBe(0);
    await server.stop();
  });
});

describe("books", () => {
  test("each fork, retirement and end is in the log, in the spawn log, and in the counts", async () => {
    const folder = temporaryFolder();
    const spawnLog = join(folder, "spawn.jsonl");
    const server = await Server.start({
      folder,
      pool: { ...SMALL, shrinkAfter: "400ms" },
      work: "sleep:600ms",
      args: ["--spawn-log", spawnLog],
    });
    const clients = await server.occupy(30);
    const [victim] = server.slots().filter(({ state }) => state === "working");
    process.kill(victim?.pid ?? 0, "SIGKILL");
    await closeAll(clients);
    await until("ten children are alive", () => server.tally().alive === 10);
    const { forked, ended } = server.scoreboard.header();
    await server.stop();

    const events = readFileSync(spawnLog, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const count = (event: string, cause: string) =>
      events.filter((each) => each.event === event && each.cause === cause).length;
    for (const [cause, times] of Object.entries(forked)) expect(count("fork", cause)).toBe(times);
    for (const [cause, times] of Object.entries(ended))
      if (cause !== "stopped") expect(count("end", cause)).toBe(times);
    expect(count("retire", "idle")).toBe(ended.idle);
    expect(ended.killed).toBe(1);
    expect(forked.killed).toBe(1);
    expect(server.records(/have child pid/)).toHaveLength(
      events.filter((each) => each.event === "fork").length,
    );
    expect(events.find(({ cause }) => cause === "killed")).toMatchObject({
      event: "end",
      pid: victim?.pid,
      signal: 9,
    });
  });
});
