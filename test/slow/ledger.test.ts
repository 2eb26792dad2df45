/** The books of a long load, whatever is killed. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Server } from "../support/server";

test("100,000 requests hold the inequality while busy children are killed ten times a second", async () => {
  const server = await Server.start({ children: 100, work: "sleep:10ms" });
  let kills = 0;
  let loading = true;
  const killer = (async () => {
    for (; loading; await sleep(100)) {
      const busy = server.slots().filter(({ state }) => state === "working");
      const victim = busy[Math.floor(Math.random() * busy.length)];
      if (!victim) continue;
      process.kill(victim.pid, "SIGKILL");
      kills++;
    }
  })();
  const client = await server.client(100, "arijort:ledger", "--requests", "1000");
  loading = false;
  await killer;
  await server.untilIdle();
  const counted = server.scoreboard.total();
  await server.stop();

  const result = server.audit(client);
  expect(result.problems).toEqual([]);
  const ledger = result.runs[0]?.ledger;
  if (!ledger) throw new Error("no run in the log");
  expect(ledger.unfinished + ledger.tornHeads).toBeGreaterThanOrEqual(50);
  expect(ledger.died).toBe(kills);
  expect(ledger.counted).toBe(counted);
  // replies <= counted <= completed <= counted + died
  expect(client.requests.verified).toBeLessThanOrEqual(counted);
  expect(counted).toBeLessThanOrEqual(ledger.completed);
  expect(ledger.completed).toBeLessThanOrEqual(counted + ledger.died);
  expect(ledger.tornHeads).toBeLessThanOrEqual(kills);
  // The client knows of every loss, and no request was sent twice.
  expect(client.requests.verified + client.requests.failed).toBe(100_000);
  expect(client.requests.failed).toBeGreaterThanOrEqual(ledger.unfinished);
  expect(client.failures.map(({ kind }) => kind)).toEqual(["lost"]);
  expect(ledger.received).toBeLessThanOrEqual(client.requests.sent);
  expect(server.records(/have child pid/)).toHaveLength(100 + kills);
});
