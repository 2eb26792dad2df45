/** A dynamic pool over some seconds: under full rate, killed at random, growing and shrinking, or at rest. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Server } from "../support/server";
import { RawClient } from "../support/socket";
import { until } from "../support/wait";

const SECONDS = Number(process.env.KILOFORK_TEST_SECONDS ?? 10);

test("a child that is retired while clients connect serves them or leaves them to others", async () => {
  // It shrinks all the time, by as much as it grows.
  const pool = { start: 1, minSpare: 1, maxSpare: 1, max: 100, shrinkAfter: "16ms" };
  const server = await Server.start({ pool, work: "sleep:30ms" });
  const serveOne = async (n: number) => {
    const client = await RawClient.greeted(server.port);
    client.send(`arijort:${n}\n`);
    const [, reply] = await client.lines(2);
    expect(reply).toBe(`server ${client.pid} recvd message "${n}" from user arijort`);
    await client.close();
  };
  for (let wave = 0; wave < 40; wave++) {
    await Promise.all(Array.from({ length: 30 }, (_, i) => serveOne(i)));
    await sleep(60 + Math.random() * 150); // while it shrinks
  }
  expect(server.scoreboard.header().ended.idle).toBeGreaterThan(100);
  await server.stop();
  expect(server.audit()).toMatchObject({ ok: true, runs: [{ ledger: { counted: 1200 } }] });
});

test(`children are killed at random for ${SECONDS} s while it grows and shrinks: no slot leaks, no count is lost`, async () => {
  const server = await Server.start({
    pool: { start: 5, minSpare: 5, maxSpare: 10, max: 200, shrinkAfter: "200ms" },
    work: "sleep:20ms",
  });
  let kills = 0;
  const until_ = Date.now() + SECONDS * 1000;
  const killer = (async () => {
    for (; Date.now() < until_; await sleep(20)) {
      const alive = server.slots().filter(({ pid }) => pid > 0);
      const victim = alive[Math.floor(Math.random() * alive.length)];
      if (!victim) continue;
      try {
        process.kill(victim.pid, "SIGKILL");
        kills++;
      } catch {
        // it has ended
      }
    }
  })();
  let verified = 0;
  for (let wave = 0; Date.now() < until_; wave++) {
    const { requests } = await server.client(100, `arijort:wave ${wave}`, "--requests", "5");
    verified += requests.verified;
    await sleep(500);
  }
  await killer;
  await until("the pool has shrunk", () => server.tally().alive <= 10 && server.count("idle") >= 5);
  const { forked, ended, alive } = server.tally();
  expect(forked).toBe(ended + alive);
  expect(server.slots().filter(({ state }) => state === "starting")).toEqual([]);
  expect(server.scoreboard.header().ended.idle).toBeGreaterThan(0);
  const killed = server.scoreboard.header().ended.killed;
  expect(killed).toBeGreaterThan(SECONDS);
  expect(killed).toBeLessThanOrEqual(kills);
  const total = server.scoreboard.total();
  expect(total).toBeGreaterThanOrEqual(verified);
  await server.stop();
  const { problems, runs } = server.audit();
  expect(problems).toEqual([]);
  expect(runs[0]?.ledger).toMatchObject({ counted: total, died: killed });
});

test("a server with 1000 children that has nothing to do uses less than 0.1 % of a processor", async () => {
  const WINDOW_MS = 5000;
  const server = await Server.start({
    pool: { start: 1000, minSpare: 5, maxSpare: 1000, max: 1001 },
  });
  const pids = [server.front, server.supervisor, ...server.slots().map(({ pid }) => pid)];
  const used = () =>
    pids
      .filter((pid) => pid > 0)
      .map((pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6)
      .reduce((a, b) => a + b);
  // V8 tidies up once, some seconds after the start.
  await until(
    "a calm window",
    async () => {
      const before = used();
      await sleep(WINDOW_MS);
      return used() - before < WINDOW_MS / 1000;
    },
    60_000,
  );
  await server.stop();
});

test("short requests at full rate, each on a new connection, do not grow the pool to their number", async () => {
  const load = ["--reconnect", "--duration", "2s", "--ramp", "1s"];
  let fewest = Number.POSITIVE_INFINITY;
  // While other programs use the processors, the queue is longer than that of quick requests.
  for (let tries = 0; tries < 5 && fewest >= 180; tries++) {
    const server = await Server.start({
      pool: { start: 5, minSpare: 5, maxSpare: 10, max: 1000 },
    });
    const client = await server.client(200, "arijort:short", ...load);
    expect(client.requests.failed).toBe(0);
    expect(client.requests.verified).toBeGreaterThan(1000);
    fewest = Math.min(fewest, server.tally().forked);
    await server.stop();
  }
  expect(fewest).toBeLessThan(180);
});
