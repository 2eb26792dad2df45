/** Whatever process of a server is killed or stopped, in whatever order: nothing outlives the server. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { canLimitProcesses, ProcessLimit } from "./support/cgroup";
import { forThisTest, ourProcesses, segmentsOf } from "./support/cleanup";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { until } from "./support/wait";

type Role = "front" | "supervisor" | "forker" | "syncer" | "child";

const start = () => Server.start({ children: 5, args: ["--ack", "synced", "--grace", "1s"] });

/** Of the server as it is now. */
function pidsOf(server: Server): Record<Role, number> {
  const { supervisor, forker, sync } = server.scoreboard.header();
  const child = server.slots()[2]?.pid ?? 0;
  return { front: server.front, supervisor, forker, syncer: sync.syncer, child };
}

/** Resolves when it has stopped: SIGSTOP takes effect when the process runs the next time. */
async function stop(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  const hasStopped = () => / T /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  await until(`process ${pid} has stopped`, hasStopped);
}

/** Not those that wait to be reaped. */
async function untilNothingIsLeft(server: Server): Promise<void> {
  await until("no process is left", () => ourProcesses().length === 0, 10_000);
  await until("the segment is gone", () => segmentsOf(server.front).length === 0, 1000);
}

describe("nothing is left when front and supervisor are killed", () => {
  test.each<Role>(["child", "forker", "syncer"])("while the %s is stopped", async (role) => {
    const server = await start();
    const pids = pidsOf(server);
    await stop(pids[role]);
    process.kill(pids.front, "SIGSTOP"); // or it might start another supervisor
    process.kill(pids.supervisor, "SIGKILL");
    process.kill(pids.front, "SIGKILL");
    await untilNothingIsLeft(server);
  });

  test("while all that they forked is stopped", async () => {
    const server = await start();
    const { front, supervisor, forker, syncer } = pidsOf(server);
    for (const pid of [front, forker, syncer, ...server.slots().map((slot) => slot.pid)])
      await stop(pid);
    process.kill(supervisor, "SIGKILL");
    process.kill(front, "SIGKILL");
    await untilNothingIsLeft(server);
  });

  test("the front long after the supervisor", async () => {
    const server = await start();
    const { front, supervisor } = pidsOf(server);
    process.kill(front, "SIGSTOP");
    process.kill(supervisor, "SIGKILL");
    await until("one process is left beside the front", () => ourProcesses().length <= 2);
    await sleep(100); // more than an orphan waits that does not know better
    process.kill(front, "SIGKILL");
    await untilNothingIsLeft(server);
  });

  test.each<Role[]>([
    ["supervisor", "front"],
    ["front", "supervisor"],
  ])("the %s a moment before the %s", async (first, second) => {
    for (const ms of [1, 5, 10, 20, 40, 60]) {
      const server = await start();
      const pids = pidsOf(server);
      process.kill(pids[first], "SIGKILL");
      await sleep(ms);
      process.kill(pids[second], "SIGKILL");
      await untilNothingIsLeft(server);
    }
  });
});

test.each<Role>(["supervisor", "forker", "syncer", "child"])(
  "a front that is killed while the %s is stopped leaves nothing, and the books are closed",
  async (role) => {
    const server = await start();
    const pids = pidsOf(server);
    await stop(pids[role]);
    process.kill(pids.front, "SIGKILL");
    await untilNothingIsLeft(server);
    expect(server.records(/Server stop/)).toHaveLength(1);
  },
);

describe("a supervisor that is stopped", () => {
  test.each<NodeJS.Signals>(["SIGTERM", "SIGQUIT"])(
    "does not keep the server from ending by %s",
    async (signal) => {
      const server = await start();
      process.kill(server.supervisor, "SIGSTOP");
      expect((await server.stop(signal)).code).toBe(0);
      expect(server.records(/Server stop/)).toHaveLength(1);
    },
  );

  test.each<NodeJS.Signals>(["SIGTERM", "SIGQUIT"])(
    "while requests finish does not keep the server from ending by a second signal, %s",
    async (signal) => {
      const args = ["--grace", "10m"];
      const server = await Server.start({ children: 2, work: "sleep:10m", args });
      const client = await RawClient.greeted(server.port);
      client.send("arijort:long\n");
      await until("a child works", () => server.count("working") === 1);
      server.command.kill("SIGTERM");
      await until("the supervisor stops", () => server.count("working", "vacant") === 2);
      process.kill(server.supervisor, "SIGSTOP");
      // Two orders within a moment are one.
      const again = setInterval(() => server.command.kill(signal), 200);
      const { code } = await server.command.end().finally(() => clearInterval(again));
      expect(code).toBe(1); // a request was aborted
      expect(server.records(/Server stop/)).toHaveLength(1);
      await client.close();
    },
  );
});

describe.skipIf(!canLimitProcesses)("while fork fails because of pids.max", () => {
  test.each([
    ["no supervisor can be started", 0],
    ["a supervisor can be started, but no forker", 1],
  ])("%s: the front tries again until it can", async (_, room) => {
    const cgroup = forThisTest(new ProcessLimit());
    const server = await Server.start({ children: 5, via: cgroup.enter });
    const { supervisor } = server;
    const forked = 5 + 2; // and supervisor and forker
    cgroup.set(cgroup.current - forked + room);
    process.kill(supervisor, "SIGKILL");
    await until("a fork has failed", () => server.command.stderr.includes("fork failed"));
    await sleep(1000); // for some more tries
    cgroup.set("max");
    await server.untilOtherSupervisor(supervisor);
    expect(server.command.stderr).toMatch(/fork failed with EAGAIN .*; trying again/);
    expect((await server.stop()).code).toBe(0);
  });

  test("the server can be stopped", async () => {
    const cgroup = forThisTest(new ProcessLimit());
    const server = await Server.start({ children: 5, via: cgroup.enter });
    cgroup.set(1);
    process.kill(server.supervisor, "SIGKILL");
    await until("a fork has failed", () => server.command.stderr.includes("fork failed"));
    expect((await server.stop()).code).toBe(0);
    expect(server.records(/Server stop/)).toHaveLength(1);
  });
});
