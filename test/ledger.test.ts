/** The books: replies, counters and records agree, whatever is killed. */
import { expect, test } from "vitest";
import { processPer } from "./support/command";
import { Server } from "./support/server";

test("100,000 requests over 100 connections leave exactly 200,000 request lines, and the ledger balances", async () => {
  const server = await Server.start({ children: 100 });
  const client = await server.client(100, "arijort:ledger", "--requests", "1000");
  expect(client).toMatchObject({
    ok: true,
    requests: { sent: 100_000, verified: 100_000, failed: 0 },
    connections: 100,
    // With a process for each request few children may do it all.
    greeted: { clients: 100, pids: processPer === "request" ? expect.any(Number) : 100 },
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
