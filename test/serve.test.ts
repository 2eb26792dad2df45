/** The server as other programs meet it: one table of settings, ready by a descriptor, embedded. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { commandPath, supervisorPath } from "../src/base/paths";
import { startServer } from "../src/harness/server";
import { completeOptions } from "../src/serve/options";
import { Server } from "../src/serve/server";
import { settingLines } from "../src/serve/settings";
import { segmentsOf, temporaryFolder } from "./support/cleanup";
import { run } from "./support/command";
import { Server as StartedServer } from "./support/server";
import { RawClient } from "./support/socket";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

describe("settings", () => {
  test("those of the front and those of the supervisor are the same", () => {
    const names = execFileSync(supervisorPath, ["--settings"], { encoding: "utf8" });
    const sent = settingLines(completeOptions({}), 0).map((line) => line.split(" ")[0]);
    expect([...new Set(sent)].sort()).toEqual(names.trimEnd().split("\n").sort());
  });

  test("a static pool is one whose bounds are all the same", () => {
    expect(completeOptions({ children: 7, maxChildren: 3, minSpare: 9 })).toMatchObject({
      ...{ startChildren: 7, minSpare: 0, maxSpare: 7, maxChildren: 7, shrinkAfterMs: 0 },
    });
  });

  test.each([
    [{ maxLine: 1 }, /max-line "1" is not a whole number from 64 to 65536/],
    [{ children: 0.5 }, /children "0.5" is not a whole number/],
    [{ ack: "synced", log: "-" } as const, /--ack synced needs a file/],
    [{ pool: "both" as "static" }, /pool "both" is none of static, dynamic/],
  ])("%j is refused", (options, message) => {
    expect(() => completeOptions(options)).toThrow(message);
  });

  test("durations cross in nanoseconds, and work with its kind", () => {
    const lines = settingLines(
      completeOptions({ graceMs: 1.5, work: { kind: "spin", durationMs: 5 } }),
      3,
    );
    expect(lines).toEqual(
      expect.arrayContaining(["grace 1500000", "work spin 5000000", "log-epoch 3"]),
    );
  });
});

describe("--ready-fd", () => {
  const ready = (fd: number, ...args: string[]) => {
    const log = join(temporaryFolder(), "log");
    const stdio = ["pipe", "pipe", "pipe", ...Array(fd - 3).fill("ignore"), "pipe"];
    const child = spawn(
      process.execPath,
      [
        ...[commandPath, "serve", "127.0.0.1", "0", "--children", "2", "--log", log],
        ...["--ready-fd", String(fd), "--stop-at-eof", ...args],
      ],
      { stdio },
    );
    const said = text(child.stdio[fd] as NodeJS.ReadableStream);
    return { child, said, ended: once(child, "close") };
  };

  test("says where the server listens, and is closed at once", async () => {
    const { child, said, ended } = ready(3);
    const { upMs, ...line } = JSON.parse(await said);
    expect(line).toEqual({
      ...{ event: "ready", pid: child.pid, address: "127.0.0.1", port: expect.any(Number) },
    });
    expect(upMs).toBeGreaterThanOrEqual(0);
    const client = await RawClient.greeted(line.port);
    await client.close();
    child.kill("SIGTERM");
    expect((await ended)[0]).toBe(0);
  });

  // libuv closes descriptors on exec up to the first gap beyond 15 by itself.
  test.skipIf(!isRoot).each([3, 40])(
    "descriptor %d is inherited by no other process",
    async (fd) => {
      const open = (pid: number) =>
        readdirSync(`/proc/${pid}/fd`).map((each) => readlinkSync(`/proc/${pid}/fd/${each}`));
      const folder = temporaryFolder();
      const file = join(folder, "ready");
      const out = openSync(file, "a");
      const stdio = ["pipe", "ignore", "ignore", ...Array(fd - 3).fill("ignore"), out];
      const child = spawn(
        process.execPath,
        [
          ...[commandPath, "serve", "127.0.0.1", "0", "--children", "2", "--stop-at-eof"],
          ...["--log", join(folder, "log"), "--ready-fd", String(fd)],
        ],
        { stdio },
      );
      closeSync(out);
      const ended = once(child, "close");
      const front = child.pid ?? 0;
      await until("the server is ready", () => readFileSync(file, "utf8").endsWith("\n"));
      const family = [front, ...descendants(front)];
      expect(family.length).toBeGreaterThanOrEqual(4);
      for (const pid of family) expect(open(pid)).not.toContain(file);
      child.kill("SIGTERM");
      await ended;
    },
  );

  test("says by a code why the server does not start", async () => {
    const first = await StartedServer.start({ children: 1 });
    const { said, ended } = ready(3, "--log", first.log);
    expect(JSON.parse(await said)).toEqual({
      ...{
        event: "failed",
        code: "ERR_IN_USE",
        message: expect.stringContaining("another server"),
      },
    });
    expect((await ended)[0]).toBe(1);
    const crowd = ready(3, "--children", "900000");
    expect(JSON.parse(await crowd.said)).toMatchObject({
      ...{ event: "failed", code: "ERR_MACHINE_LIMIT", errno: expect.any(Number) },
    });
    const twice = ready(3, "--work", "nap:3s");
    expect(JSON.parse(await twice.said)).toMatchObject({ event: "failed", code: "ERR_ARGUMENT" });
    await Promise.all([crowd.ended, twice.ended]);
    await first.stop();
  });

  test.each([4, 5, 9, 14, 99])("%d is refused when nobody has opened it", async (fd) => {
    const log = join(temporaryFolder(), "log");
    const { code, stderr } = await run(
      ...["serve", "127.0.0.1", "0", "--log", log, "--ready-fd", String(fd)],
    );
    expect(stderr).toMatch(
      /^kilofork: --ready-fd \d+: no such descriptor is open for writing;.*\n$/,
    );
    expect(code).toBe(2);
  });

  test("gives whoever starts a server an error with its code and errno", async () => {
    const log = join(temporaryFolder(), "log");
    await expect(startServer({ children: 900_000, log })).rejects.toMatchObject({
      ...{ code: "ERR_START", message: expect.stringContaining("children do not fit") },
      failure: { code: "ERR_MACHINE_LIMIT", errno: expect.any(Number) },
    });
  });
});

describe("embedded", () => {
  test("a server tells events, carries out orders and leaves no handler", async () => {
    const before = process.eventNames();
    const log = join(temporaryFolder(), "log");
    const server = new Server({
      host: "127.0.0.1",
      port: 0,
      children: 3,
      log,
      work: { kind: "none" },
    });
    const answers: string[] = [];
    server.on("answer", ({ text }) => answers.push(text));
    const { children, port } = await server.start();
    expect(children).toBe(3);
    expect(segmentsOf(process.pid)).toHaveLength(1);
    const client = await RawClient.greeted(port);
    client.send("arijort:hello\n");
    expect((await client.lines(2))[1]).toContain('recvd message "hello"');
    await client.close();
    server.reopen();
    expect(answers).toEqual(["the log is still the same file"]);
    server.stop();
    expect(await server.ended).toEqual({ by: "program", requests: 1, aborted: 0 });
    expect(readFileSync(log, "utf8")).toMatch(/total requests 1\n.* -- Server stop\n$/);
    expect(segmentsOf(process.pid)).toEqual([]);
    expect(process.eventNames()).toEqual(before);
  });

  test("two servers live in one process, and each ends by itself", async () => {
    const folder = temporaryFolder();
    const servers = ["a", "b"].map(
      (name) => new Server({ host: "127.0.0.1", port: 0, children: 1, log: join(folder, name) }),
    );
    const [a, b] = await Promise.all(servers.map((server) => server.start()));
    expect(a?.port).not.toBe(b?.port);
    for (const server of servers) server.stop();
    expect(await Promise.all(servers.map(({ ended }) => ended))).toHaveLength(2);
  });

  test("a start that fails rejects with a code, and leaves nothing", async () => {
    const log = join(temporaryFolder(), "no", "log");
    const server = new Server({ host: "127.0.0.1", port: 0, children: 1, log });
    await expect(server.start()).rejects.toMatchObject({ code: "ERR_ARGUMENT" });
    await expect(server.ended).rejects.toMatchObject({ code: "ERR_ARGUMENT" });
    expect(segmentsOf(process.pid)).toEqual([]);
  });

  test("a server that is stopped at once has opened nothing", async () => {
    const log = join(temporaryFolder(), "log");
    const server = new Server({ host: "127.0.0.1", port: 0, children: 1, log });
    const started = server.start();
    server.stop();
    await expect(started).rejects.toMatchObject({ code: "ERR_START" });
    expect(await server.ended).toEqual({ by: "program", requests: 0, aborted: 0 });
    expect(readdirSync(join(log, ".."))).toEqual([]);
  });
});

/** Pids of all processes below one. */
function descendants(pid: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        return { pid: Number(name), parent: Number(/\) \w (\d+)/.exec(stat)?.[1]) };
      } catch {
        return { pid: 0, parent: 0 }; // it has ended
      }
    });
  const below = (of: number): number[] =>
    parents.filter(({ parent }) => parent === of).flatMap((each) => [each.pid, ...below(each.pid)]);
  return below(pid);
}
