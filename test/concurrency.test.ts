/**
 * Proves that the server handles 1000 concurrent clients. Concurrent means: at one instant, each
 * request has been received by a server process of its own, and none has been answered. Four
 * independent witnesses are asked. A control shows that the same proof fails with one process less.
 * docs/concurrency.md gives the reasons.
 */
import { expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { countAccepted } from "../src/machine/connections";
import { processPer, run } from "./support/command";
import { Server } from "./support/server";
import { until } from "./support/wait";

const CLIENTS = 1000;

async function serve(children: number, connectTimeout: string) {
  const server = await Server.start({ children, work: "sleep:3s" });
  const running = server.client(
    CLIENTS,
    "arijort:lalala",
    "--barrier",
    ...["--connect-timeout", connectTimeout],
  );
  await until("every child works", () => server.scoreboard.countWorking() === children);
  const atOneInstant = {
    memory: server.scoreboard.countWorking(),
    kernel: countAccepted(server.port),
  };
  const client = await running;
  await server.stop();
  const result = audit({ logs: [server.log], clients: [client], atLeast: CLIENTS, all: false });
  return { atOneInstant, client, result, run: result.runs[0] };
}

test("1000 clients are served at one instant, each by a process of its own", async () => {
  const { atOneInstant, client, result, run } = await serve(1000, "30s");

  expect(client.inFlight).toMatchObject({ peak: 1000, pids: 1000 });
  expect(run).toMatchObject({ peak: 1000, pids: 1000 });
  expect(atOneInstant).toEqual({ memory: 1000, kernel: 1000 });

  expect(client.requests).toEqual({ sent: 1000, verified: 1000, failed: 0 });
  expect(run?.ledger).toMatchObject({ counted: 1000, completed: 1000, died: 0 });
  expect(run?.peakHeldMs).toBeGreaterThan(1000);
  expect(result.problems).toEqual([]);
});

test("with 999 processes the same proof fails", async () => {
  const { client, result, run } = await serve(999, "2s");
  expect(run?.peak).toBe(999);
  expect(result.problems).toContain("log: peak 999 < 1000");
  // A keeper greets all, and the client cannot know of which requests a process has received.
  expect(client.inFlight.peak).toBe(processPer === "request" ? 1000 : 999);
  expect(client.ok).toBe(processPer === "request");
});

test("with a process for each request they are, while 5000 more connections are open and silent", async () => {
  const { code, stdout, stderr } = await run("demo", "--process-per", "request", "--json");
  expect(stderr).toBe("");
  const outcome = JSON.parse(stdout);
  expect(outcome).toMatchObject({
    ...{ ok: true, problems: [], concurrent: 1000, processPer: "request", silent: 5000 },
    witnesses: {
      client: { peak: 1000, pids: 1000 },
      log: { peak: 1000, pids: 1000 },
      ...{ memory: 1000, kernel: 1000 },
    },
    books: { replies: 1000, counted: 1000, completed: 1000, balanced: true },
  });
  expect(code).toBe(0);
});
