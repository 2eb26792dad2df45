/** `--ack synced`: a reply means that the record is on disk, also when the disk fails. */
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { temporaryFolder } from "./support/cleanup";
import { run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { canTrace, inject, killTracers } from "./support/strace";
import { until } from "./support/wait";

const UNAVAILABLE = "error unavailable: the request could not be recorded, try again later";

const start = (children: number, ...args: string[]) =>
  Server.start({ children, args: ["--ack", "synced", ...args] });

const syncOf = (server: Server) => server.scoreboard.header().sync;

/** The files of the log, with one that was given up and those after it. */
function auditAll(server: Server, files: number) {
  const logs = Array.from({ length: files }, (_, i) => (i ? `${server.log}-${i}` : server.log));
  return audit({ logs, atLeast: 0, all: false });
}

const texts = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^.* -- /, ""));

test("every reply waits for a sync, and one sync serves many", async () => {
  const server = await start(50);
  const { requests } = await server.client(50, "arijort:lalala", "--requests", "40", "--barrier");
  expect(requests).toMatchObject({ verified: 2000, failed: 0 });
  const { syncs, requests: waited, acknowledges } = syncOf(server);
  expect(acknowledges).toBe(true);
  expect(waited).toBe(2000);
  expect(syncs).toBeGreaterThan(0);
  expect(syncs).toBeLessThan(1000);
  const { stdout } = await run("status", String(server.port));
  expect(stdout).toMatch(/^sync {6}\d+ syncs for 2,000 requests \(/m);
  expect((await server.stop()).code).toBe(0);
  expect(server.audit().problems).toEqual([]);
});

test("without --ack synced, nothing is synced", async () => {
  const server = await Server.start({ children: 3 });
  await server.client(3, "arijort:lalala");
  expect(syncOf(server)).toMatchObject({ acknowledges: false, syncer: 0, syncs: 0, requests: 0 });
  expect((await run("status", String(server.port))).stdout).not.toMatch(/sync/);
  await server.stop();
});

test("a log that cannot be synced is refused at the start", async () => {
  const serve = (log: string) => run("serve", "127.0.0.1", "0", "--ack", "synced", "--log", log);
  expect(await serve("-")).toMatchObject({ code: 2 });
  const { code, stderr } = await serve("/dev/null");
  expect(stderr).toContain("the log /dev/null cannot be synced: EINVAL");
  expect(code).toBe(1);
});

test("a log that is renamed under load is synced to its last record", async () => {
  const server = await start(20);
  const load = server.client(20, "arijort:lalala", "--duration", "1s");
  for (let i = 1; i <= 5; i++) {
    renameSync(server.log, `${server.log}.${i}`);
    expect((await run("ctl", "reopen", String(server.port))).code).toBe(0);
  }
  const client = await load;
  expect(client.requests.failed).toBe(0);
  expect((await run("ctl", "replace", String(server.port))).code).toBe(0);
  expect((await server.client(20, "arijort:again")).requests.verified).toBe(20);
  await server.stop();
  const logs = [1, 2, 3, 4, 5].map((i) => `${server.log}.${i}`);
  const { problems, runs } = audit({ logs: [...logs, server.log], atLeast: 0, all: false });
  expect(problems).toEqual([]);
  expect(runs[0]?.ledger).toMatchObject({ counted: client.requests.verified + 20, takenBack: 0 });
});

test("when the supervisor is replaced, the syncer is replaced by that of the new executable", async () => {
  const server = await start(3);
  const { syncer } = syncOf(server);
  expect((await run("ctl", "replace", String(server.port))).code).toBe(0);
  await until("there is another syncer", () => ![0, syncer].includes(syncOf(server).syncer));
  expect((await server.client(3, "arijort:lalala")).requests.verified).toBe(3);
  expect(server.scoreboard.header().logNumber).toBe(0);
  await server.stop();
});

test("a syncer killed between two syncs loses no request; a killed supervisor, only those of its children", async () => {
  const server = await start(3);
  expect((await server.client(3, "arijort:one")).requests.verified).toBe(3);
  const { syncer } = syncOf(server);
  process.kill(syncer, "SIGKILL");
  await until("there is another syncer", () => ![0, syncer].includes(syncOf(server).syncer));
  expect((await server.client(3, "arijort:two")).requests.verified).toBe(3);
  process.kill(server.supervisor, "SIGKILL");
  await server.untilIdle();
  expect((await server.client(3, "arijort:three")).requests.verified).toBe(3);
  expect(server.scoreboard.header().logNumber).toBe(0);
  await server.stop();
  expect(server.audit().problems).toEqual([]);
});

describe.skipIf(!canTrace)("a sync", () => {
  /** Injects `how` into the syncer's fdatasync() from now on. */
  const injectSync = (server: Server, how: string) =>
    inject(syncOf(server).syncer, "fdatasync", how);

  /** Sends requests of clients that were greeted before; returns what came instead of a reply. */
  async function ask(clients: readonly RawClient[]) {
    for (const [i, client] of clients.entries()) client.send(`arijort:in doubt ${i}\n`);
    return Promise.all(clients.map(async (client) => (await client.lines(2))[1]));
  }

  test.each(["EIO", "ENOSPC", "EDQUOT"])(
    "that fails with %s is reported to all that wait, and the server continues in another file",
    async (error) => {
      const server = await start(5);
      expect((await server.client(5, "arijort:before")).requests.verified).toBe(5);
      const clients = await Promise.all([1, 2, 3].map(() => RawClient.greeted(server.port)));
      const { release } = await injectSync(server, `error=${error}:when=1`);
      expect(await ask(clients)).toEqual([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]);
      for (const client of clients) await client.close();
      await release();
      await until("the log is another one", () => server.scoreboard.header().logEpoch === 1);
      const after = await server.client(5, "arijort:after");
      expect(after.requests.verified).toBe(5);
      expect(server.scoreboard.total()).toBe(10);

      const first = texts(`${server.log}-1`);
      const { takenBack } = auditAll(server, 2).runs[0]?.ledger ?? {};
      expect(takenBack).toBeGreaterThan(0); // the others had not been completed when it failed
      expect(first.slice(0, takenBack)).toEqual(
        Array.from({ length: takenBack ?? 0 }, () =>
          expect.stringMatching(/^not acknowledged: req "in doubt \d" on \d+ total reqs \d$/),
        ),
      );
      expect(texts(server.log).join("\n")).not.toContain("after");
      const { stdout } = await run("status", String(server.port));
      expect(stdout).toContain("an earlier file of the log was given up");
      expect(stdout).toContain(`log       ${server.log}-1   all children on this file`);
      const { code, stderr } = await server.stop();
      expect(code).toBe(0);
      expect(stderr.match(/is given up, it cannot be synced: (\w+)/)?.[1]).toBe(error);
      expect(stderr).toContain(`the log goes on in ${server.log}-1`);
      expect(auditAll(server, 2)).toMatchObject({
        ok: true,
        runs: [{ ledger: { counted: 10, completed: 10 + (takenBack ?? 0), takenBack } }],
      });
    },
  );

  test("whose syncer is killed in the middle counts as failed, since its result is unknown", async () => {
    const server = await start(2);
    const clients = await Promise.all([1, 2].map(() => RawClient.greeted(server.port)));
    const { isDelayed } = await injectSync(server, "delay_exit=60000000");
    for (const client of clients) client.send("arijort:in doubt\n");
    await until("both requests wait for a sync", () => syncOf(server).requests === 2);
    await until("both children wait for the sync", () => server.count("syncing") === 2);
    await until("the sync is delayed", isDelayed);
    process.kill(syncOf(server).syncer, "SIGKILL");
    killTracers(); // until then, strace holds the killed process
    for (const client of clients) {
      expect((await client.lines(2))[1]).toBe(UNAVAILABLE);
      await client.close();
    }
    await until("there is another log", () => existsSync(`${server.log}-1`));
    expect((await server.client(2, "arijort:after")).requests.verified).toBe(2);
    const { stderr } = await server.stop();
    expect(stderr).toContain("the syncer died in the middle of a sync");
    expect(auditAll(server, 2)).toMatchObject({
      ok: true,
      runs: [{ ledger: { counted: 2, completed: 4, takenBack: 2 } }],
    });
  });

  test("that fails twice costs two files, and leaves an existing file alone", async () => {
    const folder = temporaryFolder();
    const server = await Server.start({ children: 1, folder, args: ["--ack", "synced"] });
    for (const next of [1, 2]) {
      const client = await RawClient.greeted(server.port);
      const { release } = await injectSync(server, "error=EIO:when=1");
      expect(await ask([client])).toEqual([UNAVAILABLE]);
      await client.close();
      await release();
      await until(
        "children may take the next log",
        () => server.scoreboard.header().logEpoch === next,
      );
    }
    await server.client(1, "arijort:after");
    // An operator has moved the first file away: its name is free again.
    renameSync(server.log, join(folder, "broken"));
    expect((await run("ctl", "reopen", String(server.port))).code).toBe(0);
    await server.client(1, "arijort:at home");
    await server.stop();
    expect(texts(server.log).join("\n")).toContain("at home");
    const logs = [join(folder, "broken"), `${server.log}-1`, `${server.log}-2`, server.log];
    expect(audit({ logs, atLeast: 0, all: false })).toMatchObject({
      ok: true,
      runs: [{ ledger: { counted: 2, completed: 4, takenBack: 2 } }],
    });
  });

  test("that takes long delays neither a stop nor the requests in work", async () => {
    const server = await start(4);
    const clients = await Promise.all([1, 2, 3, 4].map(() => RawClient.greeted(server.port)));
    await injectSync(server, "delay_exit=300000");
    for (const client of clients) client.send("arijort:slow\n");
    await until("four children wait for the sync", () => server.count("syncing") === 4);
    expect((await server.stop()).code).toBe(0);
    for (const client of clients) {
      expect((await client.lines(2))[1]).toContain('"slow"');
      await client.close();
    }
    expect(server.audit()).toMatchObject({ ok: true, runs: [{ ledger: { counted: 4 } }] });
  });
});
