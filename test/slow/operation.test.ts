/** Operation without a gap, over some seconds: users, log, children and supervisor change under load. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { audit } from "../../src/audit/audit";
import { temporaryFolder } from "../support/cleanup";
import { Server } from "../support/server";

const SECONDS = Number(process.env.KILOFORK_TEST_SECONDS ?? 10);

test(`${SECONDS} s of load on new and on kept connections, with replace, reload and reopen in turn: no request fails`, async () => {
  const folder = temporaryFolder();
  const users = join(folder, "users");
  writeFileSync(users, "arijort\n");
  const server = await Server.start({
    folder,
    pool: { start: 50, minSpare: 5, maxSpare: 10, max: 200, shrinkAfter: "1s" },
    args: ["--users", users],
  });
  const load = ["--duration", `${SECONDS}s`];
  const kept = server.client(30, "arijort:kept", ...load);
  const anew = server.client(30, "arijort:anew", "--reconnect", ...load);
  const logs: string[] = [];
  const { supervisor } = server;
  const end = Date.now() + SECONDS * 1000;
  for (let second = 0; Date.now() < end; second++) {
    await sleep(1000);
    if (second % 3 === 0) {
      server.command.kill("SIGUSR2");
    } else if (second % 3 === 1) {
      server.command.kill("SIGHUP");
    } else {
      const old = `${server.log}.${logs.length}`;
      renameSync(server.log, old);
      logs.push(old);
      server.command.kill("SIGUSR1");
    }
  }
  const results = [await kept, await anew];
  for (const { requests, problems, synRetransmits } of results) {
    expect(problems).toEqual([]);
    expect(requests.failed).toBe(0);
    expect(requests.verified).toBeGreaterThan(1000);
    expect(synRetransmits).toBe(0);
  }
  const verified = results.reduce((sum, { requests }) => sum + requests.verified, 0);
  expect(server.scoreboard.total()).toBe(verified);
  expect(server.supervisor).toBe(supervisor); // the same process, with another executable each time
  const { childEpoch, ended } = server.scoreboard.header();
  expect(childEpoch).toBeGreaterThanOrEqual(Math.floor(SECONDS / 3) - 1);
  expect(ended.replaced).toBeGreaterThan(childEpoch * 10);
  expect(ended.orphaned + ended.killed + ended.crashed + ended.sick).toBe(0);
  await server.stop();

  logs.push(server.log);
  expect(logs.length).toBeGreaterThan(SECONDS / 4);
  expect(audit({ logs, atLeast: 0, all: false })).toMatchObject({
    ok: true,
    problems: [],
    runs: [{ ended: true, ledger: { completed: verified, counted: verified, foreignLines: 0 } }],
  });
  // Each request has its two lines once, in all files together.
  const seen = new Map<string, number>();
  for (const path of logs)
    for (const [, message = ""] of readFileSync(path, "utf8").matchAll(
      /(?:message|req) ("[^"]*")/g,
    ))
      seen.set(message, (seen.get(message) ?? 0) + 1);
  expect(seen.size).toBe(verified);
  expect([...seen.values()].filter((times) => times !== 2)).toEqual([]);
});
