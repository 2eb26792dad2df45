/** Least privilege: what the processes of a server may do, and who may use its files. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  linkSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { commandPath } from "../src/base/paths";
import { ourProcesses, segmentsOf, temporaryFolder } from "./support/cleanup";
import { Command, run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

const NOBODY = 65534;

function statusOf(pid: number): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, "utf8").trim().split("\n");
  return new Map(lines.map((line) => line.split(":\t") as [string, string]));
}

const unfiltered = Boolean(process.env.KILOFORK_UNFILTERED);

test("supervisor and children have no capability and can gain none; children have a filter of system calls", async () => {
  const server = await Server.start({ children: 3 });
  const children = server.slots().map(({ pid }) => pid);
  for (const pid of [server.supervisor, ...children]) {
    const status = statusOf(pid);
    expect(status.get("NoNewPrivs")).toBe("1");
    for (const set of ["CapEff", "CapPrm", "CapInh"])
      expect(status.get(set)).toBe("0000000000000000");
  }
  for (const pid of children) {
    if (!unfiltered) expect(statusOf(pid).get("Seccomp")).toBe("2");
    // It is not dumpable: its files in /proc belong to the superuser, and no other user may trace it.
    expect(statSync(`/proc/${pid}/mem`).uid).toBe(0);
  }
  expect(server.command.stderr.includes("built without the filter")).toBe(unfiltered);
  await server.stop();
});

test("log and shared memory are not for others to read", async () => {
  const server = await Server.start({ children: 1 });
  const [segment = ""] = segmentsOf(server.front);
  expect(statSync(server.log).mode & 0o777).toBe(0o640 & ~process.umask());
  expect(statSync(join("/dev/shm", segment)).mode & 0o777).toBe(0o600);
  await server.stop();
});

describe("a log is refused", () => {
  const serve = (log: string) => run("serve", "127.0.0.1", "0", "--children", "1", "--log", log);

  test("that has another name, too", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "precious"), "");
    linkSync(join(folder, "precious"), join(folder, "log"));
    const { code, stderr } = await serve(join(folder, "log"));
    expect(stderr).toMatch(/cannot log to .*: it has other names \(hard links\)/);
    expect(code).toBe(2);
  });

  test.skipIf(!isRoot)("that belongs to another user", async () => {
    const log = join(temporaryFolder(), "log");
    writeFileSync(log, "");
    chownSync(log, NOBODY, NOBODY);
    const { code, stderr } = await serve(log);
    expect(stderr).toMatch(/cannot log to .*: it belongs to another user/);
    expect(code).toBe(2);
  });
});

describe("a users file is refused", () => {
  test("that others may write to; at a reload the old users stay", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "arijort\n");
    const server = await Server.start({ folder, args: ["--users", users] });
    writeFileSync(users, "arijort\nintruder\n");
    chmodSync(users, 0o666);
    const reload = await run("ctl", "reload", String(server.port));
    expect(reload.stderr).toMatch(/users kept as they were: .*others may write to .*: chmod go-w/);
    expect(reload.code).toBe(1);
    const client = await RawClient.greeted(server.port);
    client.send("intruder:hello\n");
    expect(await client.rest()).toMatch(/error unauthorized/);
    await client.close();
    await server.stop();

    const log = join(folder, "other.log");
    const start = await run("serve", "127.0.0.1", "0", "--users", users, "--log", log);
    expect(start).toMatchObject({ code: 2, stderr: expect.stringContaining("chmod go-w") });
  });

  test("that is a fifo, at once: at the start, and at a reload, where the old users stay", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "arijort\n");
    const server = await Server.start({ folder, args: ["--users", users] });
    rmSync(users);
    execFileSync("mkfifo", ["-m", "600", users]);
    const reload = await run("ctl", "reload", String(server.port), "--timeout", "5s");
    expect(reload.stderr).toMatch(/users kept as they were: .* is not a regular file/);
    expect(reload.code).toBe(1);
    await server.stop();

    const log = join(folder, "other.log");
    const start = await run("serve", "127.0.0.1", "0", "--users", users, "--log", log);
    expect(start).toMatchObject({ code: 2, stderr: expect.stringContaining("not a regular file") });
  });

  test.skipIf(!isRoot)("that belongs to another user", async () => {
    const folder = temporaryFolder();
    const users = join(folder, "users");
    writeFileSync(users, "arijort\n");
    chownSync(users, NOBODY, NOBODY);
    const log = join(folder, "log");
    const { code, stderr } = await run("serve", "127.0.0.1", "0", "--users", users, "--log", log);
    expect(stderr).toContain("belongs to another user");
    expect(code).toBe(2);
  });
});

describe("--run-as", () => {
  test.skipIf(!isRoot)("names the user who may not execute the supervisor", async () => {
    const folder = temporaryFolder(); // which nobody else may enter
    for (const part of ["bin", "dist", "package.json", "build/Release"])
      cpSync(part, join(folder, part), { recursive: true });
    const command = join(folder, "bin", "kilofork.cjs");
    const args = ["serve", "127.0.0.1", "0", "--log", join(folder, "log"), "--run-as", "nobody"];
    const { code, stderr } = await new Command([command, ...args], "node").end();
    expect(stderr).toMatch(
      /^kilofork: --run-as: nobody may not execute .*kilofork-supervisor: let that user/,
    );
    expect(code).toBe(2);
  });

  test("is for the superuser, and for users that exist", async () => {
    const serve = ["serve", "127.0.0.1", "0", "--log", join(temporaryFolder(), "log")];
    if (isRoot) {
      for (const [user, message] of [
        ["no-such-user", /there is no user "no-such-user"/],
        ["nobody:no-such-group", /there is no group "no-such-group"/],
        ["nobody:", /write USER or USER:GROUP/],
      ] as const) {
        const { code, stderr } = await run(...serve, "--run-as", user);
        expect(stderr).toMatch(message);
        expect(code).toBe(2);
      }
    }
    const asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath];
    const { code, stderr } = isRoot
      ? await new Command(
          [...asNobody, commandPath, ...serve, "--run-as", "nobody"],
          "setpriv",
        ).end()
      : await run(...serve, "--run-as", "nobody");
    expect(stderr).toMatch(/only the superuser can become another user/);
    expect(code).toBe(2);
  });

  test.skipIf(!isRoot)("is the user of supervisor and children, and they work", async () => {
    const server = await Server.start({ children: 5, args: ["--run-as", "nobody"] });
    for (const pid of [server.supervisor, ...server.slots().map(({ pid }) => pid)]) {
      const status = statusOf(pid);
      expect(status.get("Uid")).toBe(`${NOBODY}\t${NOBODY}\t${NOBODY}\t${NOBODY}`);
      expect(status.get("Gid")).toBe(`${NOBODY}\t${NOBODY}\t${NOBODY}\t${NOBODY}`);
      expect(status.get("Groups")?.trim() ?? "").toBe("");
    }
    expect(statusOf(server.front).get("Uid")).toMatch(/^0\t/);
    // The log is in a folder of the superuser that they could not open.
    chmodSync(server.folder, 0o700);
    for (const verb of ["reopen", "replace"])
      expect((await run("ctl", verb, String(server.port))).code).toBe(0);
    const client = await server.client(5, "arijort:x", "--requests", "10");
    expect(client.requests.verified).toBe(50);
    process.kill(server.slots()[0]?.pid ?? 0, "SIGKILL");
    await until(
      "the killed child has a successor",
      () => server.scoreboard.header().forked.killed === 1,
    );
    const { supervisor } = server;
    process.kill(supervisor, "SIGSTOP"); // or it may stop its children first
    server.command.kill("SIGKILL");
    process.kill(supervisor, "SIGKILL");
    await until("all processes have ended", () => ourProcesses().length === 0);
    await until("the segment is gone", () => segmentsOf(server.front).length === 0);
  });
});
