/** Kilobytes of a child, or of a connection, of the whole system. */
import { setTimeout as sleep } from "node:timers/promises";
import { sum } from "../../src/base/numbers";
import { sendFragment, settledMemory } from "../../src/machine/memory";
import { proportionalMemory } from "../../src/machine/process";
import type { Size } from "../figures/figure";
import type { Harness } from "../servers/harness";
import type { Running } from "../servers/launch";
import type { ServerName } from "../servers/names";
import { BACKLOG, createLoad, verified } from "./load";

/**
 * Without the first process of a server. Weighs several servers at once: the rest of the system takes
 * and gives memory meanwhile.
 */
export async function idleMemory(
  harness: Harness,
  name: ServerName,
  children: number,
): Promise<number> {
  const SERVERS = 4;
  const before = await memoryOfOthers();
  const servers: Running[] = [];
  for (let i = 0; i < SERVERS; i++)
    servers.push(await harness.start(name, { children, workMs: 0, backlog: BACKLOG }));
  const used =
    (await memoryOfOthers()) - before - sum(servers.map(({ pid }) => proportionalMemory(pid)));
  for (const server of servers) await server.stop();
  return used / (SERVERS * children) / 1024;
}

/**
 * Without the first process of the server. Weighs while every child works. The sockets of the clients
 * count, the clients do not.
 */
export async function busyMemory(
  harness: Harness,
  name: ServerName,
  children: number,
): Promise<number> {
  const before = await memoryOfOthers();
  const server = await harness.start(name, { children, workMs: 3000, backlog: BACKLOG });
  const load = createLoad(server, { clients: children, requests: 1, barrier: true });
  const result = load.run();
  while (load.settled() < children) await sleep(10);
  const used = (await memoryOfOthers()) - before - proportionalMemory(server.pid);
  await verified(result, children);
  await server.stop();
  return (used / children + sendFragment()) / 1024;
}

/** What a silent connection adds once the server is up, with its client. */
export async function connectionMemory(
  harness: Harness,
  name: ServerName,
  { few, idle }: Size,
): Promise<number> {
  const server = await harness.start(name, { children: few, workMs: 0, backlog: BACKLOG });
  const before = await memoryOfOthers();
  const clients = await harness.connectSilently(server, idle);
  const used = (await memoryOfOthers()) - before;
  await clients.stop();
  await server.stop();
  return used / idle / 1024;
}

/** Bytes in use by all but this process, which holds the clients. */
async function memoryOfOthers(): Promise<number> {
  return (await settledMemory()) - proportionalMemory(process.pid);
}
