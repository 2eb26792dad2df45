/** Hostile clients: none occupies a child for longer than the time-outs, and none makes a child die. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { until } from "./support/wait";

const TIMEOUTS = [
  ...["--idle-timeout", "300ms", "--read-timeout", "300ms", "--write-timeout", "300ms"],
];

const clients: RawClient[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

function open(server: Server, count: number): RawClient[] {
  const opened = Array.from({ length: count }, () => new RawClient(server.port));
  clients.push(...opened);
  return opened;
}

/** Checks that the server serves as before: no child died, and their memory has not grown. */
async function isUnhurt(server: Server, before: number): Promise<void> {
  await server.untilIdle();
  const result = await server.client(20, "arijort:still here", "--requests", "5");
  expect(result.requests).toMatchObject({ verified: 100, failed: 0 });
  await server.untilIdle();
  expect(server.tally().ended).toBe(0);
  const GROWTH_KB = 64; // pages that a child touches for the first time
  expect(memoryOf(server) - before).toBeLessThan(GROWTH_KB * server.slots().length);
  await server.stop();
  expect(server.audit().problems).toEqual([]);
}

/** The resident memory of all children, in kB, without the text of the program, which they share. */
function memoryOf(server: Server): number {
  return server
    .slots()
    .map(({ pid }) =>
      Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]),
    )
    .reduce((a, b) => a + b, 0);
}

async function start(children: number, ...args: string[]): Promise<[Server, number]> {
  const server = await Server.start({ children, args: [...TIMEOUTS, ...args] });
  await server.client(children, "arijort:warm", "--requests", "5", "--barrier");
  await server.untilIdle();
  return [server, memoryOf(server)];
}

test("many more than there are children, that send nothing, are closed after the idle time-out", async () => {
  const [server, before] = await start(50);
  const silent = open(server, 150);
  await until("all connections are closed", () => silent.every(({ ended }) => ended), 60_000);
  for (const client of silent) expect(client.text).toMatch(/error timeout: .*\n$/);
  await isUnhurt(server, before);
});

test("a flood of connections that are closed or reset at once leaves the server as it was", async () => {
  const [server, before] = await start(20);
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => {
        const socket = connect(server.port, "127.0.0.1");
        socket.on("error", () => {});
        return new Promise<void>((resolve) => {
          socket.once("close", () => resolve());
          socket.once("connect", () => (i % 2 ? socket.resetAndDestroy() : socket.destroy()));
        });
      }),
    );
  }
  await isUnhurt(server, before);
});

test("a byte every now and then does not make a request last longer than the read time-out", async () => {
  const [server, before] = await start(5);
  const begun = Date.now();
  const slow = open(server, 5);
  const drip = setInterval(() => {
    for (const client of slow) client.send("a");
  }, 50);
  await until("all connections are closed", () => slow.every(({ ended }) => ended));
  clearInterval(drip);
  expect(Date.now() - begun).toBeLessThan(10_000);
  for (const client of slow) expect(client.text).toMatch(/error timeout: .*\n$/);
  await isUnhurt(server, before);
});

test("lines without end are refused at the limit, not kept in memory", async () => {
  const [server, before] = await start(5);
  const giants = open(server, 5);
  const chunk = Buffer.alloc(1 << 16, "x");
  for (const client of giants) for (let i = 0; i < 64; i++) client.socket.write(chunk);
  await until("all connections are closed", () => giants.every(({ ended }) => ended));
  for (const client of giants) expect(client.text).toMatch(/error too-long: .*\n$/);
  await isUnhurt(server, before);
});

test("refusals of unknown users are counted, one for each connection", async () => {
  const [server, before] = await start(10);
  for (let round = 0; round < 5; round++) {
    const flood = open(server, 20);
    for (const [i, client] of flood.entries()) client.send(`user${round}.${i}:let me in\n`);
    const refusals = flood.map(async (client) => {
      const text = await client.rest();
      await client.close(); // or the child waits for that
      return text;
    });
    for (const text of await Promise.all(refusals))
      expect(text).toMatch(/error unauthorized: .*\n$/);
  }
  expect(server.refused("unauthorized")).toBe(100);
  await isUnhurt(server, before);
});

test("replies that are never read hold a child for the write time-out, no longer", async () => {
  const [server, before] = await start(3);
  const deaf = open(server, 3);
  const line = Buffer.from(`arijort:${"x".repeat(1000)}\n`);
  const request = Buffer.concat(Array.from({ length: 64 }, () => line));
  for (const client of deaf) {
    client.socket.pause();
    client.socket.on("error", () => {}); // it will be reset
    const send = () => {
      while (!client.socket.destroyed && client.socket.write(request));
    };
    client.socket.on("drain", send);
    send();
  }
  await until("replies pile up", () => server.count("replying") === 3);
  await until("all children are idle", () => server.count("idle") === 3);
  await Promise.all(deaf.map((client) => client.close()));
  await isUnhurt(server, before);
});

test("resets at each point of the exchange leave the server as it was", async () => {
  const [server, before] = await start(4, "--work", "sleep:1ms");
  const exchange = "arijort:hello\narijort:again\n";
  for (let at = 0; at <= exchange.length; at++) {
    for (const pause of [0, 1, 3]) {
      const [client] = open(server, 1);
      if (pause > 0) await client?.lines(1);
      client?.send(exchange.slice(0, at));
      await sleep(pause);
      client?.reset();
    }
  }
  await isUnhurt(server, before);
});

describe("--max-connections-per-address", () => {
  test("bounds the connections of an address, refuses further ones, and frees the places of those that end", async () => {
    const server = await Server.start({
      children: 10,
      args: ["--max-connections-per-address", "3"],
    });
    const held = open(server, 3);
    await Promise.all(held.map((client) => client.lines(1)));
    const [fourth] = open(server, 1);
    expect(await fourth?.rest()).toBe("error busy: too many connections from your address\n");
    // Another address of the loopback range has a share of its own.
    const other = connect({ port: server.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    const greeting = await new Promise<string>((resolve) =>
      other.once("data", (data) => resolve(String(data))),
    );
    expect(greeting).toMatch(/^this is server thread/);
    other.destroy();

    await held.pop()?.close();
    await until("a place is free", async () => {
      const [next] = open(server, 1);
      return next && (await next.lines(1))[0]?.startsWith("this is server thread");
    });
    expect(server.refused("busy")).toBeGreaterThanOrEqual(1);
    await server.stop();
  });

  test("a child that is killed frees its place", async () => {
    const server = await Server.start({
      children: 5,
      work: "sleep:10m",
      args: ["--max-connections-per-address", "2"],
    });
    for (let round = 0; round < 5; round++) {
      const pair = open(server, 2);
      for (const client of pair) client.send("arijort:holds its child\n");
      await until("both are served", () => server.count("working") === 2);
      for (const { pid, state } of server.slots())
        if (state === "working") process.kill(pid, "SIGKILL");
      await Promise.all(pair.map((client) => client.rest()));
      await until(
        "both killed children have successors",
        () => server.tally().forked === 5 + 2 * (round + 1),
      );
      await server.untilIdle();
    }
    await server.stop();
  });

  test("a supervisor that is killed frees the places of all", async () => {
    const server = await Server.start({
      pool: { start: 2, minSpare: 1, maxSpare: 2, max: 20 },
      args: ["--max-connections-per-address", "3"],
    });
    // A successor has fewer children at first. Two of the freed places are those of another address.
    const others = [1, 2].map(() =>
      connect({ port: server.port, host: "127.0.0.1", localAddress: "127.0.0.2" }),
    );
    await Promise.all(others.map((other) => once(other, "data"))); // both are greeted
    const crowd = open(server, 3);
    await Promise.all(crowd.map((client) => client.lines(1)));
    const { supervisor } = server;
    process.kill(supervisor, "SIGKILL");
    await server.untilOtherSupervisor(supervisor);
    const [next] = open(server, 1);
    expect((await next?.lines(1))?.[0]).toMatch(/^this is server thread/);
    for (const other of others) other.destroy();
    await server.stop();
  });

  test("is never exceeded, however many connections come at the same time", async () => {
    const server = await Server.start({
      children: 50,
      args: ["--max-connections-per-address", "5"],
    });
    for (let round = 0; round < 10; round++) {
      const crowd = open(server, 50);
      await Promise.all(crowd.map((client) => client.lines(1)));
      const greeted = crowd.filter(({ text }) => text.startsWith("this is")).length;
      expect(greeted).toBeLessThanOrEqual(5);
      await Promise.all(crowd.map((client) => client.close()));
      await server.untilIdle();
    }
    await server.stop();
  });
});
