/** One figure each: what is measured, on which subject, in which unit. Lower or higher as named. */
import { execFile } from "node:child_process";
import { cpus } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { audit } from "../src/audit/audit";
import { type ClientResult, DEFAULT_OS_THREADS, Load } from "../src/client/load";
import { availableMemory } from "../src/limits";
import { missing, type Running, type SubjectName, type Workshop } from "./subjects";

const MESSAGE = "arijort:lalala";
const BACKLOG = 4096;
const SEED_BACKLOG = 100;
/** Children of a pool that has to grow. */
const FEW = 5;
const REFERENCE_CLIENT_ENDS_WITHIN_MS = 15_000;

export interface Figure {
  readonly name: string;
  readonly unit: string;
  /** The subjects in the order of measuring; the ratio is of the first to each of the others. */
  readonly subjects: readonly { readonly label: string; readonly measure: () => Promise<number> }[];
  /** The ratio that is to be reached, first subject to the second. */
  readonly goal?: {
    readonly ratio: number;
    readonly better: "lower" | "higher";
    readonly to: string;
  };
}

export interface Size {
  readonly children: number;
  readonly workMs: number;
  /** Requests of one measurement of the rate, over all connections. */
  readonly requests: number;
  readonly connections: readonly number[];
}

export function figuresOf(shop: Workshop, size: Size): Figure[] {
  const { children } = size;
  const lower = (ratio: number, to: string) => ({ ratio, better: "lower" as const, to });
  const higher = (ratio: number, to: string) => ({ ratio, better: "higher" as const, to });
  const both = (measure: (name: SubjectName) => Promise<number>) => [
    { label: "kilofork", measure: () => measure("kilofork") },
    { label: "reference", measure: () => measure("reference") },
  ];
  return [
    {
      name: "memory of an idle child",
      unit: "kB",
      subjects: both((name) => idleMemory(shop, name, children)),
      goal: lower(0.35, "reference"),
    },
    {
      name: "memory of a busy child",
      unit: "kB",
      subjects: both((name) => busyMemory(shop, name, children)),
    },
    {
      name: `time until ${children} children are up`,
      unit: "ms",
      subjects: both((name) => startTime(shop, name, children)),
      goal: lower(0.25, "reference"),
    },
    {
      name: `first to last recvd of ${children} clients`,
      unit: "ms",
      subjects: [
        { label: "kilofork", measure: () => receivedWindow(shop, "kilofork", size, BACKLOG) },
        {
          label: `reference, backlog ${BACKLOG}`,
          measure: () => receivedWindow(shop, "reference", size, BACKLOG),
        },
        {
          label: `reference, backlog ${SEED_BACKLOG}`,
          measure: () => receivedWindow(shop, "reference", size, SEED_BACKLOG),
        },
      ],
      goal: lower(0.6, `reference, backlog ${BACKLOG}`),
    },
    {
      name: `first to last recvd of ${children} clients, from ${FEW} children`,
      unit: "ms",
      subjects: [
        { label: "kilofork", measure: () => receivedWindow(shop, "kilofork", size, BACKLOG, FEW) },
        ...installed(shop, "prefork", {
          label: "Net::Server",
          measure: () => receivedWindow(shop, "prefork", size, BACKLOG, FEW),
        }),
        { label: "Apache's rule, computed", measure: async () => apacheGrowth(FEW, children) },
      ],
      goal: lower(0.25, "Net::Server"),
    },
    {
      name: `first connect to last reply of ${children} clients, no work`,
      unit: "ms",
      subjects: [
        { label: "kilofork", measure: () => roundTrip(shop, "kilofork", "kilofork", children) },
        { label: "reference", measure: () => roundTrip(shop, "reference", "reference", children) },
        {
          label: "reference client, kilofork server",
          measure: () => roundTrip(shop, "reference", "kilofork", children),
        },
      ],
      goal: lower(1.0, "reference"),
    },
    ...size.connections.map((connections) => ({
      name: `requests a second on ${connections} connections`,
      unit: "/s",
      subjects: [
        { label: "kilofork", measure: () => rate(shop, "kilofork", connections, size.requests) },
        { label: "cluster", measure: () => rate(shop, "cluster", connections, size.requests) },
        { label: "reference", measure: () => rate(shop, "reference", connections, size.requests) },
      ],
      ...(connections === 1000 ? { goal: higher(2.0, "cluster") } : {}),
    })),
  ];
}

/**
 * Whole system: what less is available with all children than with one, for each of the others. Of
 * several servers at once, since what the rest of the system does meanwhile is in it, too.
 */
async function idleMemory(shop: Workshop, name: SubjectName, children: number): Promise<number> {
  const SERVERS = 4;
  const used = async (count: number) => {
    const before = await settledMemory();
    const servers: Running[] = [];
    for (let i = 0; i < SERVERS; i++)
      servers.push(await shop.start(name, { children: count, workMs: 0, backlog: BACKLOG }));
    const after = await settledMemory();
    for (const server of servers) await server.stop();
    return before - after;
  };
  const one = await used(1);
  return ((await used(children)) - one) / (SERVERS * (children - 1)) / 1024;
}

/** Idle, and what less is available while every child works; the clients' sockets are in it. */
async function busyMemory(shop: Workshop, name: SubjectName, children: number): Promise<number> {
  const idle = await idleMemory(shop, name, children);
  const warm = await shop.start(name, { children, workMs: 0, backlog: BACKLOG });
  await load(warm.port, children, 1).run(); // the client's own memory is there from now on
  await warm.stop();
  const server = await shop.start(name, { children, workMs: 2000, backlog: BACKLOG });
  const before = await settledMemory();
  const running = load(server.port, children, 1, true);
  const result = running.run();
  while (running.settled() < children) await sleep(10);
  await sleep(300);
  const busy = (before - availableMemory()) / children / 1024;
  await verified(result, children);
  await server.stop();
  return idle + busy;
}

async function startTime(shop: Workshop, name: SubjectName, children: number): Promise<number> {
  const server = await shop.start(name, { children, workMs: 0, backlog: BACKLOG });
  await server.stop();
  return server.upMs;
}

/** Each server with its own client, all clients at once, no barrier; from the server's log. */
async function receivedWindow(
  shop: Workshop,
  name: SubjectName,
  { children, workMs }: Size,
  backlog: number,
  few?: number,
): Promise<number> {
  const setting = { children, workMs, backlog };
  const server = await shop.start(name, few === undefined ? setting : { ...setting, start: few });
  if (name === "reference") {
    // With a backlog of 100, some of its clients are never accepted: their handshake was forgotten.
    await referenceClient(shop, server.port, children).catch(() => {});
  } else {
    const result = await verified(load(server.port, children, 1).run(), children);
    if (result.synRetransmits > 0) throw new Error(`${result.synRetransmits} SYNs were sent again`);
  }
  await server.stop();
  const run = audit({ logs: [server.log], atLeast: 0, all: false }).runs[0];
  const count = run?.received.count ?? 0;
  if (count < children)
    shop.notes.add(`${name}, backlog ${backlog}: only ${count} of ${children} were received`);
  return (run?.received.lastMs ?? 0) - (run?.received.firstMs ?? 0);
}

/** Left out, with a note, where it is not installed. */
function installed<Subject>(shop: Workshop, name: SubjectName, subject: Subject): Subject[] {
  const lacks = missing(name);
  if (lacks === undefined) return [subject];
  shop.notes.add(`left out: ${lacks} is not installed`);
  return [];
}

/**
 * Milliseconds until its prefork server would have all children: 1, 2, 4 … 32 forks a second, while
 * too few are idle. Source: perform_idle_server_maintenance() in server/mpm/prefork/prefork.c.
 */
function apacheGrowth(few: number, children: number): number {
  let seconds = 0;
  for (let rate = 1, alive = few; alive < children; alive += rate, rate = Math.min(2 * rate, 32))
    seconds++;
  return seconds * 1000;
}

async function roundTrip(
  shop: Workshop,
  client: "kilofork" | "reference",
  name: SubjectName,
  children: number,
): Promise<number> {
  const server = await shop.start(name, { children, workMs: 0, backlog: BACKLOG });
  const elapsed =
    client === "reference"
      ? await referenceClient(shop, server.port, children)
      : (await verified(load(server.port, children, 1).run(), children)).elapsedMs;
  await server.stop();
  return elapsed;
}

async function rate(
  shop: Workshop,
  name: SubjectName,
  connections: number,
  requests: number,
): Promise<number> {
  const processes = name === "cluster" ? cpus().length : connections;
  const server = await shop.start(name, { children: processes, workMs: 0, backlog: BACKLOG });
  const each = Math.ceil(requests / connections);
  const result = await verified(
    load(server.port, connections, each, true).run(),
    each * connections,
  );
  await server.stop();
  return result.requestsPerSecond;
}

function load(port: number, clients: number, requests: number, barrier = false): Load {
  return new Load({
    ...{ host: "127.0.0.1", addresses: ["127.0.0.1"], port, clients, requests, barrier },
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

async function referenceClient(shop: Workshop, port: number, clients: number): Promise<number> {
  const args = ["127.0.0.1", String(port), String(clients), MESSAGE];
  const timeout = REFERENCE_CLIENT_ENDS_WITHIN_MS;
  const { stdout } = await promisify(execFile)(shop.referenceClient, args, { timeout });
  const [, handled, ms] = /(\d+) requests in ([\d.]+) milliseconds/.exec(stdout) ?? [];
  if (Number(handled) !== clients) throw new Error(`the reference client handled ${handled}`);
  return Number(ms);
}

/** When it no longer moves: processes that ended a moment ago still give back. */
async function settledMemory(): Promise<number> {
  const STILL = 512 * 1024;
  for (let last = availableMemory(), tries = 0; ; tries++) {
    await sleep(150);
    const now = availableMemory();
    if (Math.abs(now - last) < STILL || tries > 40) return now;
    last = now;
  }
}
