/** Operation without a gap: users, log, children and supervisor change under load. */
import { spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, readlinkSync, renameSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { supervisorPath } from "../src/base/paths";
import { temporaryFolder } from "./support/cleanup";
import { Command, processPer, run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

const ctl = (verb: string, server: Server, ...args: string[]) =>
  run("ctl", verb, String(server.port), ...args);

/** Does nothing if the process has ended. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    if (pid > 0) process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Replaces the file by a copy, as an upgrade does. */
function renewExecutable(): void {
  const copy = `${supervisorPath}.new`;
  copyFileSync(supervisorPath, copy);
  renameSync(copy, supervisorPath);
}

describe("replace", () => {
  test("runs the present executable in the same process, and replaces all children", async () => {
    const server = await Server.start({ children: 40 });
    const { supervisor } = server;
    const before = new Set(server.slots().map(({ pid }) => pid));
    renewExecutable();
    if (isRoot) expect(readlinkSync(`/proc/${supervisor}/exe`)).toMatch(/ \(deleted\)$/);
    expect(await ctl("replace", server)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/: done, 40 children replaced, .* after the order\n$/),
    });
    expect(server.supervisor).toBe(supervisor);
    for (const { pid } of isRoot ? [{ pid: supervisor }, ...server.slots()] : [])
      expect(readlinkSync(`/proc/${pid}/exe`)).toBe(supervisorPath);
    expect(server.slots().filter(({ pid }) => before.has(pid))).toEqual([]);
    expect(server.scoreboard.header().ended).toMatchObject({ replaced: 40, killed: 0 });

    // It knows its children: it counts a death, replaces it, and stops them all.
    process.kill(server.slots()[0]?.pid ?? 0, "SIGKILL");
    await until("the dead one has a successor", () => server.tally().forked === 81);
    await server.untilIdle();
    expect((await server.stop()).code).toBe(0);
    expect(server.audit().problems).toEqual([]);
  });

  test("an executable that could not take over is not started, and the children are replaced", async () => {
    const server = await Server.start({ children: 3 });
    const saved = `${supervisorPath}.saved`;
    copyFileSync(supervisorPath, saved);
    writeFileSync(`${supervisorPath}.new`, "#!/bin/sh\necho scoreboard 0 exec-state 0\n", {
      mode: 0o755,
    });
    renameSync(`${supervisorPath}.new`, supervisorPath);
    try {
      expect((await ctl("replace", server)).code).toBe(0);
    } finally {
      renameSync(saved, supervisorPath);
    }
    expect(server.command.stderr).toContain("cannot take over");
    expect(server.scoreboard.header().ended.replaced).toBe(3);
    expect((await server.stop()).code).toBe(0);
  });

  // With a process for each request no child has a kept connection: test/keeper.test.ts.
  test.skipIf(processPer === "request")(
    "a client on a kept connection is served by its old child until it leaves",
    async () => {
      const server = await Server.start({ children: 2 });
      const client = await RawClient.greeted(server.port);
      const waiting = await ctl("replace", server, "--timeout", "300ms");
      expect(waiting).toMatchObject({ code: 1 });
      expect(waiting.stderr).toMatch(/not done within .*: 1 old child is left/);
      client.send("arijort:still here\n");
      expect((await client.lines(2))[1]).toBe(
        `server ${client.pid} recvd message "still here" from user arijort`,
      );
      await client.close();
      await until(
        "the last child is replaced",
        () => server.scoreboard.header().ended.replaced === 2,
      );
      await server.stop();
    },
  );

  test("deaths and a stop in the middle of a replacement leave nothing behind", async () => {
    const server = await Server.start({ children: 60 });
    for (let round = 0; round < 10; round++) {
      server.command.kill("SIGUSR2");
      for (const { pid } of server.slots().slice(0, 5)) signal(pid, "SIGKILL");
      await sleep(Math.random() * 30);
    }
    const { code } = await server.stop();
    expect(code).toBe(0);
    expect(server.audit().problems).toEqual([]);
  });
});

test.skipIf(spawnSync("logrotate", ["--version"]).error !== undefined)(
  "logrotate, with the file that comes with kilofork, loses no record",
  async () => {
    const server = await Server.start({ children: 20 });
    const client = server.client(10, "arijort:rotate", "--duration", "3s");
    const { uid, username } = userInfo();
    const group = uid === 0 ? "root" : username;
    const settings = readFileSync(join(__dirname, "..", "contrib", "kilofork.logrotate"), "utf8")
      .replace("/var/log/kilofork/kilofork.log", server.log)
      .replace("su kilofork kilofork", `su ${username} ${group}`)
      .replace(/! systemctl.*/, `kill -USR1 ${server.front}`);
    const file = join(server.folder, "logrotate.conf");
    writeFileSync(file, settings, { mode: 0o644 });
    for (let round = 0; round < 2; round++) {
      await until("there is traffic", () => server.records(/ recvd /).length > 100);
      const state = join(server.folder, "state");
      const { status, stderr } = spawnSync("logrotate", ["--force", "--state", state, file]);
      expect(stderr.toString()).toBe("");
      expect(status).toBe(0);
      await until("the log is settled", () => {
        const { logSettled } = server.scoreboard.header();
        return logSettled === round + 1;
      });
    }
    const result = await client;
    expect(result.requests.failed).toBe(0);
    await server.stop();
    const oldest = gunzipSync(readFileSync(`${server.log}.2.gz`));
    writeFileSync(`${server.log}.2`, oldest);
    const logs = [`${server.log}.2`, `${server.log}.1`, server.log];
    expect(audit({ logs, clients: [result], atLeast: 0, all: false })).toMatchObject({
      ok: true,
      runs: [{ ledger: { counted: result.requests.verified } }],
    });
  },
);

describe("ctl", () => {
  test("reload reads the users and says which; with a bad file it keeps them and exits 1", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "arijort\n");
    const server = await Server.start({ folder, args: ["--users", users] });
    writeFileSync(users, "second\nthird\n");
    const read = await ctl("reload", server);
    expect(read).toMatchObject({ code: 0, stdout: expect.stringContaining("second, third") });
    writeFileSync(users, "bad:name\n");
    const refused = await ctl("reload", server);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("users kept") });
    await server.stop();
  });

  test("reopen is done when the last child has left the old log", async () => {
    const server = await Server.start({ children: 30 });
    const stuck = server.slots()[7]?.pid ?? 0;
    process.kill(stuck, "SIGSTOP");
    renameSync(server.log, `${server.log}.1`);
    const waiting = await ctl("reopen", server, "--timeout", "300ms");
    expect(waiting).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("1 child is still on"),
    });
    expect(server.records(/left the old log/)).toEqual([]);
    process.kill(stuck, "SIGCONT");
    const done = await ctl("reopen", server); // the same file: it waits for the requests in work
    expect(done.code).toBe(0);
    await until("the record is in the log", () => server.records(/left the old log/).length === 1);
    expect(server.slots().every(({ logEpoch }) => logEpoch === 1)).toBe(true);
    expect(server.command.stderr).toContain("the last child left the old one");
    await server.stop();
  });

  test("stop waits for the requests in work, and says when some were aborted", async () => {
    const patient = await Server.start({ children: 2, work: "sleep:400ms" });
    const client = await RawClient.greeted(patient.port);
    client.send("arijort:x\n");
    await until("a child works", () => patient.count("working") === 1);
    const stopped = await ctl("stop", patient);
    expect(stopped).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("stopped after 1 req"),
    });
    await client.close();
    await patient.command.end();

    const hasty = await Server.start({ children: 2, work: "sleep:10m", args: ["--grace", "10ms"] });
    const lost = await RawClient.greeted(hasty.port);
    lost.send("arijort:x\n");
    await until("a child works", () => hasty.count("working") === 1);
    expect(await ctl("stop", hasty)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("1 request was aborted"),
    });
    await lost.close();
    await hasty.command.end();
  });

  test("stop says that the server was killed, also with no limit of the wait", async () => {
    const server = await Server.start({ children: 2, work: "sleep:10m" });
    const client = await RawClient.greeted(server.port);
    client.send("arijort:x\n");
    await until("a child works", () => server.count("working") === 1);
    const stop = new Command(["ctl", "stop", String(server.port), "--timeout", "0"]);
    await until("the server stops", () => server.scoreboard.header().stopping);
    const everyone = [server.front, server.supervisor, ...server.slots().map(({ pid }) => pid)];
    for (const pid of everyone) signal(pid, "SIGSTOP");
    for (const pid of everyone) signal(pid, "SIGKILL");
    expect(await stop.end()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("the server was killed"),
    });
    await client.close();
    await (await Server.start({ children: 1 })).stop(); // sweeps the segment
  });

  test("a front that does not answer is named; no server, or an unknown verb, is an error", async () => {
    const server = await Server.start({ children: 1 });
    server.command.kill("SIGSTOP");
    const { code, stderr } = await ctl("replace", server, "--timeout", "200ms");
    expect(stderr).toContain(`the front (pid ${server.front}) does not answer`);
    expect(code).toBe(1);
    server.command.kill("SIGCONT");
    await server.stop();
    expect(await ctl("stop", server)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(`no server is running on port ${server.port}`),
    });
    expect((await run("ctl", "restart")).code).toBe(2);
  });
});

test("the same order to every process at once, as a service manager gives it, aborts no request", async () => {
  const server = await Server.start({ children: 30, work: "sleep:500ms" });
  const client = server.client(20, "arijort:x");
  await until("all children work", () => server.count("working") === 20);
  const everyone = [server.supervisor, ...server.slots().map(({ pid }) => pid), server.front];
  for (const pid of everyone) signal(pid, "SIGTERM");
  expect((await client).requests).toMatchObject({ verified: 20, failed: 0 });
  expect((await server.command.end()).code).toBe(0);
  expect(server.audit().problems).toEqual([]);
});

test("no order is lost while the supervisor is stopped and its socket is full, also not the one to stop", async () => {
  const server = await Server.start({ children: 2 });
  const { supervisor } = server;
  const answers = () => server.scoreboard.header().answers.reopen.count;
  const fill = async () => {
    process.kill(supervisor, "SIGSTOP");
    for (const end = answers() + 400; answers() < end; ) {
      const before = answers();
      renameSync(server.log, `${server.log}.1`);
      server.command.kill("SIGUSR1");
      while (answers() === before) await setImmediate();
    }
  };
  await fill();
  process.kill(supervisor, "SIGCONT");
  await until("all children have the newest log", () => {
    const { logSettled, logOrdered } = server.scoreboard.header();
    return logOrdered === 400 && logSettled === logOrdered;
  });
  await fill();
  server.command.kill("SIGTERM");
  await until("the front stops", () => server.scoreboard.header().stopping);
  process.kill(supervisor, "SIGCONT");
  expect((await server.command.end()).code).toBe(0);
  expect(server.records(/Server stop/)).toHaveLength(1);
});
