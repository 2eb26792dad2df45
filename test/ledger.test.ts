/** The books: replies, counters and records agree, whatever is killed. */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Server } from "./support/server";

describe("100,000 requests over 100 connections", () => {
  test("leave exactly 200,000 request lines, and the ledger balances", async () => {
    const server = await Server.start({ children: 100 });
    const client = await server.client(100, "arijort:ledger", "--requests", "1000");
    expect(client).toMatchObject({
      ok: true,
      requests: { sent: 100_000, verified: 100_000, failed: 0 },
      connections: 100,
      greeted: { clients: 100, pids: 100 },
    });
    await server.untilIdle();
    expect(server.scoreboard.total()).toBe(100_000);
    await server.stop();
    expect(server.records(/ recvd message | completed req /)).toHaveLength(200_000);
    expect(server.audit(client)).toMatchObject({
      ok: true,
      problems: [],
      runs: [{ ledger: { received: 100_000, counted: 100_000, completed: 100_000, died: 0 } }],
    });
  });

  test("hold the inequality while busy children are killed ten times a second", async () => {
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
});

test("refusals are counted by kind and are no requests", async () => {
  const server = await Server.start({ children: 4 });
  const client = await server.client(40, "root:let me in", "--requests", "2");
  expect(client.requests.verified).toBe(0);
  const detail = '"error unauthorized: no such user"';
  expect(client.failures).toEqual([{ kind: "refused", count: 80, firstClient: 1, detail }]);
  expect(client.problems).toEqual([`80 refused: by the server (${detail}), first client 1`]);
  await server.untilIdle();
  const refused = server.slots().reduce((sum, slot) => sum + slot.refused.unauthorized, 0);
  expect(refused).toBe(80);
  await server.stop();
  expect(server.audit()).toMatchObject({
    ok: true,
    runs: [{ ledger: { received: 0, counted: 0, refused: { unauthorized: 80 } } }],
  });
});
