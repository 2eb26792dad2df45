/** A log that cannot be written: no reply is wrong, and the server recovers when it can be again. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { ourProcesses, temporaryFolder } from "./support/cleanup";
import { Command, run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { canTrace, inject } from "./support/strace";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

/** A file system of a given size, in a mount namespace that the server enters. */
class Disk {
  private constructor(
    private readonly mountHolder: Command,
    private readonly folder: string,
  ) {}

  static async make(size: string): Promise<Disk> {
    const folder = temporaryFolder();
    const script = `mount -t tmpfs -o size=${size} none ${folder} && echo ready && exec cat`;
    const holder = new Command(["--mount", "sh", "-c", script], "unshare");
    await until("the disk is mounted", () => holder.stdout === "ready\n");
    return new Disk(holder, folder);
  }

  start(children: number, ...args: string[]): Promise<Server> {
    const via = ["nsenter", "--target", String(this.mountHolder.pid), "--mount", "--"];
    return Server.start({ children, folder: this.folder, via, args });
  }

  path(name: string): string {
    return `/proc/${this.mountHolder.pid}/root${join(this.folder, name)}`;
  }

  /** Leaves at most this many bytes free. */
  fill(leave: number): void {
    const chunk = Buffer.alloc(4096);
    for (;;) {
      try {
        writeFileSync(this.path("filler"), chunk, { flag: "a" });
      } catch {
        break;
      }
    }
    if (leave > 0) spawnSync("truncate", ["--size", `-${leave}`, this.path("filler")]);
  }

  empty(): void {
    rmSync(this.path("filler"));
  }

  records(pattern: RegExp): string[] {
    return readFileSync(this.path("server.log"), "utf8")
      .split("\n")
      .filter((line) => pattern.test(line));
  }

  audit() {
    return audit({ logs: [this.path("server.log")], atLeast: 0, all: false });
  }

  async remove(): Promise<void> {
    this.mountHolder.closeInput();
    await this.mountHolder.end();
  }
}

/** Sends one request on a new connection; returns what came after the greeting. */
async function ask(server: Server, message: string): Promise<string> {
  const client = await RawClient.greeted(server.port);
  client.send(`arijort:${message}\n`);
  client.finish();
  const answer = (await client.rest()).replace(/^.*\n/, "");
  await client.close();
  return answer;
}

/** A disk without room even in the last page of the log. */
async function startOnFullDisk(children: number): Promise<{ disk: Disk; server: Server }> {
  const disk = await Disk.make("256k");
  const server = await disk.start(children);
  disk.fill(0);
  for (let i = 0; i < 10; i++) await ask(server, "x".repeat(900));
  return { disk, server };
}

const UNAVAILABLE = "error unavailable: the request could not be recorded, try again later\n";

// Only the superuser may mount.
describe.skipIf(!isRoot)("a disk", () => {
  test("that is full: clients are refused, nothing is counted, the problem is reported once, and the server recovers", async () => {
    const disk = await Disk.make("256k");
    const server = await disk.start(5);
    expect(await ask(server, "before")).toContain('"before"');
    disk.fill(0);
    for (let i = 0; i < 20; i++) {
      // The rest of the last page of the log takes some more records.
      const answer = await ask(server, "x".repeat(900));
      if (i > 5) expect(answer).toBe(UNAVAILABLE);
    }
    const total = server.scoreboard.total();
    expect(await ask(server, "y".repeat(900))).toBe(UNAVAILABLE);
    expect(server.scoreboard.total()).toBe(total);
    const { stdout } = await run("status", String(server.port));
    expect(stdout).toContain("the log cannot be written: ENOSPC");
    expect(server.command.stderr.match(/cannot write to the log .*: ENOSPC/g)).toHaveLength(1);

    disk.empty();
    expect(await ask(server, "after")).toContain('"after"');
    await until("the server says that the log can be written again", () =>
      server.command.stderr.includes("can be written again"),
    );
    expect(server.scoreboard.header().logError).toBe(0);
    expect((await server.stop()).code).toBe(0);
    const { problems, runs } = disk.audit();
    expect(problems).toEqual([]);
    expect(runs[0]?.ledger).toMatchObject({ counted: total + 1, completed: total + 1 });
    await disk.remove();
  });

  test("that fills in the middle of records: torn records are closed, and the next begin a line", async () => {
    const disk = await Disk.make("512k");
    const server = await disk.start(3);
    let answered = 0;
    for (let round = 0; round < 12; round++) {
      disk.fill(4096 * (1 + (round % 3)));
      for (let refused = 0; refused < 6; ) {
        const answer = await ask(server, "m".repeat(300 + ((round * 97 + refused * 31) % 600)));
        if (answer === UNAVAILABLE) refused++;
        else answered++;
      }
      disk.empty();
      expect(await ask(server, `round ${round}`)).toContain(`"round ${round}"`);
      answered++;
    }
    expect(server.scoreboard.total()).toBe(answered);
    await server.stop();
    const { problems, runs } = disk.audit();
    expect(problems).toEqual([]);
    expect(runs[0]?.ledger).toMatchObject({ counted: answered, completed: answered });
    expect(runs[0]?.ledger.shortWrites).toBeGreaterThan(0);
    await disk.remove();
  });

  test("that is full while children die: their ends are recorded when there is space again", async () => {
    const { disk, server } = await startOnFullDisk(4);
    const victims = server.slots().map(({ pid }) => pid);
    for (const pid of victims) process.kill(pid, "SIGKILL");
    await until("all killed children are replaced", () => server.tally().forked === 8);
    await server.untilIdle();
    const recorded = () => disk.records(/ended: signal 9, abnormal$/).length;
    expect(recorded()).toBeLessThan(4);
    server.command.kill("SIGUSR2"); // a new executable takes over, with the pending records
    await until("the replacement is over", () =>
      server.command.stderr.includes("all children have been replaced"),
    );
    disk.empty();
    await until("all ends are in the log", () => recorded() === 4);
    await server.stop();
    expect(disk.audit()).toMatchObject({ ok: true, runs: [{ ledger: { died: 4 } }] });
    await disk.remove();
  });
});

describe.skipIf(!isRoot)("a supervisor that is killed", () => {
  test("while the disk is full: the ends of its children are recorded when there is space again", async () => {
    const { disk, server } = await startOnFullDisk(4);
    const { supervisor } = server;
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    const recorded = () => disk.records(/ended: with its supervisor, abnormal$/).length;
    expect(recorded()).toBeLessThan(4);
    disk.empty();
    await until("all ends are in the log", () => recorded() === 4);
    await server.stop();
    expect(disk.audit()).toMatchObject({ ok: true, runs: [{ ledger: { died: 4 } }] });
    await disk.remove();
  });

  test("and then the front, while the disk is full: the log gets no end, since records are missing", async () => {
    const { disk, server } = await startOnFullDisk(4);
    const { supervisor } = server;
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    const client = await RawClient.greeted(server.port);
    process.kill(server.front, "SIGKILL");
    disk.empty();
    await client.rest();
    await client.close();
    await until("all processes have ended", () => ourProcesses(/^kilofork-/).length === 0);
    expect(disk.records(/total requests \d+$/)).not.toEqual([]);
    expect(disk.records(/Server stop$/)).toEqual([]);
    await disk.remove();
  });

  test("while the end record of a child is pending: the log gets no end, since a record is missing", async () => {
    const { disk, server } = await startOnFullDisk(2);
    const { supervisor } = server;
    process.kill(server.slots()[0]?.pid ?? 0, "SIGKILL");
    await until(
      "the record of the end is pending",
      () => server.scoreboard.header().pendingEnds === 1,
    );
    await server.untilIdle();
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    disk.empty();
    expect((await server.stop()).code).toBe(0);
    expect(disk.records(/ended: with its supervisor/)).toHaveLength(2);
    expect(disk.records(/Server stop$/)).toEqual([]);
    await disk.remove();
  });
});

test("a log that is removed is created again, and the server says what that means", async () => {
  const server = await Server.start({ children: 3 });
  await ask(server, "lost");
  unlinkSync(server.log);
  await until("the log is there again", () => existsSync(server.log));
  await until("the children write to it", () => {
    const { logSettled, logEpoch } = server.scoreboard.header();
    return logEpoch === 1 && logSettled === 1;
  });
  expect(server.command.stderr).toContain("was removed, and the records in it are gone");
  expect(await ask(server, "kept")).toContain('"kept"');
  expect(server.records(/"kept"/)).toHaveLength(2);
  await server.stop();
});

describe.skipIf(!canTrace)("a write of a record", () => {
  /** Makes the writes of the child to the log fail from now on. */
  const breakWrites = (server: Server, how: string) =>
    inject(server.slots()[0]?.pid ?? 0, "write", how, server.log);

  test.each(["EIO", "EDQUOT", "EROFS", "EPERM"])(
    "that fails with %s gets the client an error, and is not counted",
    async (error) => {
      const server = await Server.start({ children: 1 });
      const { release } = await breakWrites(server, `error=${error}`);
      expect(await ask(server, "recvd fails")).toBe(UNAVAILABLE);
      expect(await ask(server, "again")).toBe(UNAVAILABLE);
      await release();
      expect(await ask(server, "mended")).toContain('"mended"');
      expect(server.scoreboard.total()).toBe(1);
      await until("the server says that the log can be written again", () =>
        server.command.stderr.includes("can be written again"),
      );
      const said = server.command.stderr.match(/cannot write .*: (\w+);/g);
      expect(said).toEqual([expect.stringContaining(`: ${error};`)]);
      await server.stop();
      expect(server.audit()).toMatchObject({
        ok: true,
        runs: [{ ledger: { counted: 1, refused: {} } }],
      });
    },
  );

  test("that fails for the second record is not counted either, though the work is done", async () => {
    const server = await Server.start({ children: 1 });
    const { release } = await breakWrites(server, "error=EIO:when=2");
    expect(await ask(server, "half")).toBe(UNAVAILABLE);
    await release();
    expect(server.scoreboard.total()).toBe(0);
    expect(server.records(/recvd message "half"/)).toHaveLength(1);
    expect(server.records(/completed req "half"/)).toEqual([]);
    await server.stop();
    expect(server.audit()).toMatchObject({ ok: true, runs: [{ ledger: { unfinished: 1 } }] });
  });
});

test.each(["written", "synced"])(
  "a log whose folder is removed is no log: said once, and clients are refused until it can be created; --ack %s",
  async (ack) => {
    const folder = join(temporaryFolder(), "folder");
    mkdirSync(folder);
    const server = await Server.start({ children: 3, folder, args: ["--ack", ack] });
    expect(await ask(server, "before")).toContain('"before"');
    rmSync(folder, { recursive: true });
    await until("it is said", () => server.command.stderr.includes("until there is a log"));
    expect(await ask(server, "without")).toBe(UNAVAILABLE);
    expect(server.scoreboard.total()).toBe(1);
    expect((await run("status", String(server.port))).stdout).toContain("the log was removed");
    const { stderr } = server.command;
    await sleep(2500); // two more tries
    expect(server.command.stderr).toBe(stderr);

    mkdirSync(folder);
    await until("the log goes on", () =>
      server.command.stderr.includes(`the log goes on in ${server.log}\n`),
    );
    await until("a request is served", async () => (await ask(server, "after")).includes("after"));
    expect(server.records(/"after"/)).toHaveLength(2);
    expect((await server.stop()).code).toBe(0);
    expect(server.records(/Server stop/)).toHaveLength(1);
  },
);
