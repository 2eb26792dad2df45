/** What is measured of a server under load, one number each. */
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { audit } from "../../src/audit/audit";
import {
  type ClientResult,
  DEFAULT_OS_THREADS,
  describeFailures,
  Load,
} from "../../src/client/load";
import { clientProcesses } from "../../src/limit/bounds";
import { Clients } from "../../src/limit/clients";
import { readMachine } from "../../src/machine/capacity";
import { processMemory, sendFragment, settledMemory } from "../../src/machine/memory";
import type { Size } from "../figures/figure";
import { requireRoomForClients } from "../servers/capacity";
import type { Harness, SubjectName } from "../servers/harness";
import type { Running } from "../servers/launch";

export const MESSAGE = "arijort:lalala";
export const BACKLOG = 4096;
const REFERENCE_CLIENT_ENDS_WITHIN_MS = 15_000;

/**
 * Kilobytes of a child, of the whole system, without the server's first process. Of several servers
 * at once, since what the rest of the system does meanwhile is in it, too.
 */
export async function idleMemory(
  harness: Harness,
  name: SubjectName,
  children: number,
): Promise<number> {
  const SERVERS = 4;
  const before = await memoryOfOthers();
  const servers: Running[] = [];
  for (let i = 0; i < SERVERS; i++)
    servers.push(await harness.start(name, { children, workMs: 0, backlog: BACKLOG }));
  const used =
    (await memoryOfOthers()) - before - sum(servers.map(({ pid }) => processMemory(pid)));
  for (const server of servers) await server.stop();
  return used / (SERVERS * children) / 1024;
}

/** Likewise, while every child works; the sockets of the clients are in it, but not the clients. */
export async function busyMemory(
  harness: Harness,
  name: SubjectName,
  children: number,
): Promise<number> {
  const before = await memoryOfOthers();
  const server = await harness.start(name, { children, workMs: 3000, backlog: BACKLOG });
  const running = load(server.port, children, 1, true);
  const result = running.run();
  while (running.settled() < children) await sleep(10);
  const used = (await memoryOfOthers()) - before - processMemory(server.pid);
  await verified(result, children);
  await server.stop();
  return (used / children + sendFragment()) / 1024;
}

/** In use, in bytes: by all but this process, which holds the clients. */
async function memoryOfOthers(): Promise<number> {
  return (await settledMemory()) - processMemory(process.pid);
}

export async function startTime(
  harness: Harness,
  name: SubjectName,
  children: number,
): Promise<number> {
  const server = await harness.start(name, { children, workMs: 0, backlog: BACKLOG });
  await server.stop();
  return server.upMs;
}

/** Each server with its own client, all clients at once, no barrier; from the server's log. */
export async function receivedWindow(
  harness: Harness,
  name: SubjectName,
  { children, workMs }: Size,
  backlog: number,
  few?: number,
): Promise<number> {
  const setting = { children, workMs, backlog };
  const server = await harness.start(
    name,
    few === undefined ? setting : { ...setting, start: few },
  );
  if (name === "reference") {
    // With a backlog of 100, some of its clients are never accepted: their handshake was forgotten.
    await referenceClient(harness, server.port, children).catch(() => {});
  } else {
    const result = await verified(load(server.port, children, 1).run(), children);
    if (result.synRetransmits > 0) throw new Error(`${result.synRetransmits} SYNs were sent again`);
  }
  await server.stop();
  const run = audit({ logs: [server.log], atLeast: 0, all: false }).runs[0];
  const count = run?.received.count ?? 0;
  if (count < children)
    harness.notes.add(`${name}, backlog ${backlog}: only ${count} of ${children} were received`);
  return (run?.received.lastMs ?? 0) - (run?.received.firstMs ?? 0);
}

/**
 * Milliseconds until its prefork server would have all children: 1, 2, 4 … 32 forks a second, while
 * too few are idle. Source: perform_idle_server_maintenance() in server/mpm/prefork/prefork.c.
 */
export function apacheGrowth(few: number, children: number): number {
  let seconds = 0;
  for (let rate = 1, alive = few; alive < children; alive += rate, rate = Math.min(2 * rate, 32))
    seconds++;
  return seconds * 1000;
}

export async function roundTrip(
  harness: Harness,
  client: "kilofork" | "reference",
  name: SubjectName,
  children: number,
): Promise<number> {
  const server = await harness.start(name, { children, workMs: 0, backlog: BACKLOG });
  const elapsed =
    client === "reference"
      ? await referenceClient(harness, server.port, children)
      : (await verified(load(server.port, children, 1).run(), children)).elapsedMs;
  await server.stop();
  return elapsed;
}

export async function rate(
  harness: Harness,
  name: SubjectName,
  connections: number,
  requests: number,
): Promise<number> {
  requireRoomForClients(connections);
  const server = await harness.start(name, { children: connections, workMs: 0, backlog: BACKLOG });
  const perSecond = await rateOf(server, connections, requests);
  await server.stop();
  return perSecond;
}

/** Of a server that runs: so many requests over all connections. */
export async function rateOf(
  server: Running,
  connections: number,
  requests: number,
): Promise<number> {
  const each = Math.ceil(requests / connections);
  // No more clients wait than the accept queue holds: it is not what is measured here.
  const running = load(server.port, connections, each, true, BACKLOG / 2).run();
  return (await verified(running, each * connections)).requestsPerSecond;
}

/** Of as many client processes as that takes, for a while: each can have 20,000 descriptors. */
export async function rateOfProcesses(harness: Harness, connections: number): Promise<number> {
  const DURATION_MS = 4000;
  const server = await harness.start("kilofork", {
    children: connections,
    workMs: 0,
    backlog: BACKLOG,
  });
  const clients = new Clients({
    ...{ port: server.port, clients: connections, name: "crowd", window: BACKLOG / 2 },
    ...{ processes: clientProcesses(connections, readMachine()), barrier: true, rate: 0 },
    ...{ workMs: 0, rampMs: 0, durationMs: DURATION_MS, timeoutMs: 60_000 },
  });
  try {
    const { requestsPerSecond, failures, lost } = await clients.done;
    const problems = [...lost, ...failures.map(describeFailures)];
    if (problems.length > 0) throw new Error(problems.join("; "));
    return requestsPerSecond;
  } finally {
    clients.kill();
    await server.stop();
  }
}

function load(port: number, clients: number, requests: number, barrier = false, window = 0): Load {
  return new Load({
    ...{ host: "127.0.0.1", addresses: ["127.0.0.1"], port, clients, requests, barrier, window },
    ...{ reconnect: false, message: MESSAGE, durationMs: 0, rate: 0, rampMs: 0 },
    ...{ connectTimeoutMs: 30_000, replyTimeoutMs: 30_000, osThreads: DEFAULT_OS_THREADS },
  });
}

async function verified(running: Promise<ClientResult>, expected: number): Promise<ClientResult> {
  const result = await running;
  if (result.requests.verified !== expected)
    throw new Error(`${result.requests.verified} of ${expected} verified: ${result.problems}`);
  return result;
}

async function referenceClient(harness: Harness, port: number, clients: number): Promise<number> {
  const args = ["127.0.0.1", String(port), String(clients), MESSAGE];
  const timeout = REFERENCE_CLIENT_ENDS_WITHIN_MS;
  const { stdout } = await promisify(execFile)(harness.referenceClient, args, { timeout });
  const [, handled, ms] = /(\d+) requests in ([\d.]+) milliseconds/.exec(stdout) ?? [];
  if (Number(handled) !== clients) throw new Error(`the reference client handled ${handled}`);
  return Number(ms);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
