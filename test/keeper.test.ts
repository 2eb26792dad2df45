/** A process for each request: what the keeper promises beyond what holds in both modes. */
import { readdirSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import { ourProcesses } from "./support/cleanup";
import { run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { isRoot } from "./support/user";
import { until } from "./support/wait";

vi.hoisted(() => {
  process.env.KILOFORK_TEST_PROCESS_PER = "request";
});

const closeAll = (clients: readonly RawClient[]) =>
  Promise.all(clients.map((client) => client.close()));
const working = (server: Server) => server.slots().find(({ state }) => state === "working");
const replies = ({ text }: RawClient) => text.split("\n").filter((line) => /^server /.test(line));

/** A client that sends without end and reads nothing, until its child waits for it. */
async function deaf(server: Server): Promise<RawClient> {
  const client = await RawClient.greeted(server.port);
  client.socket.pause();
  const requests = `arijort:${"z".repeat(1000)}\n`.repeat(64);
  const pump = () => {
    while (!client.socket.destroyed && client.socket.write(requests));
  };
  client.socket.on("drain", pump);
  pump();
  const sent = () => `${server.scoreboard.total()} ${server.count("replying")}`;
  await until("its child waits for it", async () => {
    const before = sent();
    await sleep(50);
    return server.count("replying") === 1 && sent() === before;
  });
  return client;
}

/** Returns when it has stopped: the kernel lists it so. */
async function stop(server: Server): Promise<number> {
  const { keeper } = server;
  process.kill(keeper, "SIGSTOP");
  await sleep(20); // it takes effect when the process runs the next time
  return keeper;
}

describe("connections", () => {
  test("outnumber the children; those that are silent cost none", async () => {
    const server = await Server.start({ children: 2 });
    const silent = await Promise.all(
      Array.from({ length: 300 }, () => RawClient.greeted(server.port)),
    );
    expect(server.count("idle")).toBe(2);
    expect(server.scoreboard.header().keeper).toMatchObject({ connections: 300, ready: 0 });
    const client = await server.client(20, "arijort:meanwhile", "--requests", "50");
    expect(client.requests).toMatchObject({ verified: 1000, failed: 0 });
    for (const client of silent) client.send("arijort:hello\n");
    await Promise.all(silent.map((client) => client.lines(2)));
    expect(silent.every((client) => replies(client).length === 1)).toBe(true);
    await closeAll(silent);
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });

  test("one that pipelines without end does not keep another one waiting", async () => {
    const REQUESTS = 10_000;
    const server = await Server.start({ children: 1 });
    const [greedy, modest] = [
      await RawClient.greeted(server.port),
      await RawClient.greeted(server.port),
    ];
    const began = performance.now();
    let [asked, answered, bytes] = [0, 0, 0];
    greedy.socket.removeAllListeners("data").on("data", (data) => {
      bytes += data.length;
      if (asked > 0) return;
      asked = performance.now();
      modest.send("arijort:one\n");
    });
    modest.socket.on("data", () => {
      answered = performance.now();
    });
    greedy.send("arijort:x\n".repeat(REQUESTS));
    const [, reply = ""] = await modest.lines(2);
    const all = REQUESTS * `${reply}\n`.replace("one", "x").length;
    await until("all are answered", () => bytes === all);
    expect(answered - asked).toBeLessThan((performance.now() - began) / 2);
    await closeAll([greedy, modest]);
    await server.stop();
  });

  test("one whose client reads no reply holds one child, up to the write time-out", async () => {
    const server = await Server.start({ children: 2, args: ["--write-timeout", "2s"] });
    const client = await deaf(server);
    const other = await server.client(10, "arijort:meanwhile", "--requests", "20");
    expect(other.requests).toMatchObject({ verified: 200, failed: 0 });
    await server.untilIdle();
    await client.close();
    expect(server.tally().ended).toBe(0);
    await server.stop();
  });

  test("at a stop get the end of file if idle, the reason if ready, the reply if in work", async () => {
    const server = await Server.start({ children: 1, work: "sleep:400ms" });
    const idle = await RawClient.greeted(server.port);
    const [busy] = await server.occupy(1);
    const ready = await RawClient.greeted(server.port);
    ready.send("arijort:too late\n");
    await until("it is ready", () => server.scoreboard.header().keeper?.ready === 1);
    const stopped = server.stop();
    expect(await idle.rest()).toBe(`this is server thread ${idle.greeter}\n`);
    expect(await ready.rest()).toMatch(/^this is server thread \d+\nerror shutting-down: .*\n$/);
    expect(await busy?.rest()).toMatch(/^this is server thread \d+\nserver \d+ recvd .*\n$/);
    await closeAll([idle, ready, busy as RawClient]);
    expect((await stopped).code).toBe(0);
  });

  test("that are ready make a dynamic pool grow", async () => {
    const pool = { start: 1, minSpare: 1, maxSpare: 2, max: 20 };
    const server = await Server.start({ pool, work: "sleep:10m" });
    const silent = await Promise.all(
      Array.from({ length: 30 }, () => RawClient.greeted(server.port)),
    );
    await sleep(100); // long enough to fork
    expect(server.tally().forked).toBeLessThanOrEqual(3); // while they wait to be accepted
    const busy = await server.occupy(12);
    expect(server.scoreboard.header().forked.queue).toBeGreaterThan(0);
    await closeAll([...silent, ...busy]);
    await server.stop("SIGQUIT");
  });

  test("are kept while children are replaced and recycled, and the keeper too", async () => {
    const server = await Server.start({ children: 4, args: ["--max-requests", "200"] });
    const { keeper } = server;
    const idle = await RawClient.greeted(server.port);
    const load = server.client(50, "arijort:kept", "--duration", "2s");
    let replaced = 0;
    void load.then(() => (replaced += 1000));
    for (; replaced < 1000; replaced++)
      expect((await run("ctl", "replace", String(server.port))).code).toBe(0);
    expect(await load).toMatchObject({ connections: 50, requests: { failed: 0 } });
    expect(server.scoreboard.header().ended.recycled).toBeGreaterThan(0);
    expect(server.scoreboard.header().ended.replaced).toBeGreaterThan(4);
    expect(server.keeper).not.toBe(keeper);
    idle.send("arijort:still here\n");
    expect((await idle.lines(2))[1]).toContain("still here");
    await idle.close();
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });
});

describe("a keeper", () => {
  test.skipIf(!isRoot)("has the listener and no log", async () => {
    const server = await Server.start({ children: 3 });
    const folder = `/proc/${server.keeper}/fd`;
    const targets = readdirSync(folder).map((fd) => readlinkSync(`${folder}/${fd}`));
    expect(targets).not.toContain(server.log);
    expect(targets.filter((target) => target.startsWith("/")).sort()).toEqual([
      "/dev/null",
      "/dev/null",
      expect.stringMatching(/^\/dev\/shm\/kilofork-/),
    ]);
    await server.stop();
  });

  test("that is killed ends idle connections; requests in work are answered; the next one accepts within 100 ms", async () => {
    const server = await Server.start({ children: 3, work: "sleep:700ms" });
    const idle = await RawClient.greeted(server.port);
    const [busy] = await server.occupy(1);
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      const { keeper } = server;
      const killed = performance.now();
      process.kill(keeper, "SIGKILL");
      await until("it has ended", () => !ourProcesses(/^kilofork-keeper$/).includes(keeper));
      const next = await RawClient.greeted(server.port);
      times.push(performance.now() - killed);
      expect(next.greeter).not.toBe(keeper);
      await next.close();
    }
    // The fastest: others use the processors, too.
    expect(Math.min(...times)).toBeLessThan(100);
    expect(await idle.rest()).toBe(`this is server thread ${idle.greeter}\n`);
    expect(await busy?.rest()).toMatch(/\nserver \d+ recvd .*\n$/);
    await closeAll([idle, busy as RawClient]);
    await server.untilIdle();
    const client = await server.client(3, "arijort:x");
    expect(client.requests.verified).toBe(3);
    expect(server.tally().ended).toBe(0);
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });

  test("that is killed again and again under load: the books balance", async () => {
    const server = await Server.start({ children: 4 });
    const load = server.client(50, "arijort:kept", "--duration", "2s");
    let loading = true;
    void load.then(() => (loading = false));
    for (; loading; await sleep(100)) if (server.keeper > 0) process.kill(server.keeper, "SIGKILL");
    const result = await load;
    expect(result.requests.verified).toBeGreaterThan(0);
    expect(result.failures.map(({ kind }) => kind)).toEqual(["lost"]);
    await server.untilIdle();
    expect((await server.client(4, "arijort:x")).requests.verified).toBe(4);
    await server.stop();
    expect(server.audit(result)).toMatchObject({ problems: [], runs: [{ ledger: { died: 0 } }] });
  });

  test("that is stopped harms no request in work, and goes on where it was", async () => {
    const server = await Server.start({ children: 2, work: "sleep:300ms" });
    const idle = await RawClient.greeted(server.port);
    const [busy] = await server.occupy(1);
    const keeper = await stop(server);
    expect((await busy?.lines(2))?.[1]).toContain("occupies");
    idle.send("arijort:later\n");
    busy?.send("arijort:again\n");
    process.kill(keeper, "SIGCONT");
    expect((await idle.lines(2))[1]).toContain("later");
    expect((await busy?.lines(3))?.[2]).toContain("again");
    expect(server.keeper).toBe(keeper);
    await closeAll([idle, busy as RawClient]);
    await server.stop();
  });

  test.each(["replace", "stop"])("that is stopped does not hold up ctl %s", async (verb) => {
    const server = await Server.start({ children: 2, args: ["--grace", "300ms"] });
    await stop(server);
    expect((await run("ctl", verb, String(server.port))).code).toBe(0);
    if (verb === "stop") return void (await server.command.end());
    // Within the time for a handover.
    const client = await RawClient.greeted(server.port);
    await client.close();
    await server.stop();
  });
});

describe("a child", () => {
  test("that is killed with a batch loses the connection that it had begun, and no other", async () => {
    const server = await Server.start({ children: 4 });
    const load = server.client(100, "arijort:batch", "--requests", "400");
    let [loading, kills] = [true, 0];
    void load.then(() => (loading = false));
    for (; loading; await sleep(50)) {
      const busy = server.slots().filter(({ state }) => state !== "idle" && state !== "vacant");
      const [victim] = busy;
      if (!victim || victim.pid === 0) continue;
      process.kill(victim.pid, "SIGKILL");
      kills++;
    }
    const { requests, failures } = await load;
    expect(requests.verified + requests.failed).toBe(40_000);
    expect(requests.failed).toBeLessThanOrEqual(kills);
    for (const { kind } of failures) expect(kind).toBe("lost");
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });

  test.each(["", "replace"])(
    "that has a successor before the keeper sees its end leaves no client waiting %s",
    async (order) => {
      const server = await Server.start({ children: 1, work: "sleep:10m" });
      const [client] = await server.occupy(1);
      const keeper = await stop(server);
      process.kill(working(server)?.pid ?? 0, "SIGKILL");
      await until("it has a successor", () => server.tally().forked === 2);
      await server.untilIdle();
      if (order !== "") server.command.kill("SIGUSR2");
      await until("the order is carried out", () => {
        const { forked } = server.scoreboard.header();
        return order === "" || forked.replaced > 0;
      });
      process.kill(keeper, "SIGCONT");
      await client?.rest();
      await client?.close();
      const [next] = await server.occupy(1);
      await next?.close();
      await server.stop("SIGQUIT");
    },
  );

  test("that is stopped keeps the connection that it has begun; others serve the rest", async () => {
    const server = await Server.start({ children: 2, work: "sleep:200ms" });
    const [client] = await server.occupy(1);
    const stuck = working(server)?.pid ?? 0;
    process.kill(stuck, "SIGSTOP");
    const other = await server.client(5, "arijort:meanwhile", "--requests", "2");
    expect(other.requests).toMatchObject({ verified: 10, failed: 0 });
    expect(replies(client as RawClient)).toEqual([]);
    process.kill(stuck, "SIGCONT");
    expect((await client?.lines(2))?.[1]).toContain(`server ${stuck} `);
    await client?.close();
    await server.stop();
  });
});
