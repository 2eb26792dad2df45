/** Rates, latencies and costs. Each client sends its next request when it has its reply (closed loop). */
import { type ClientResult, describeFailures } from "../../src/client/load";
import { clientProcesses } from "../../src/limit/bounds";
import { Clients } from "../../src/limit/clients";
import { readMachine } from "../../src/machine/capacity";
import type { Size } from "../figures/figure";
import { requireRoomForClients } from "../servers/capacity";
import type { Harness } from "../servers/harness";
import type { Running } from "../servers/launch";
import type { ServerName } from "../servers/names";
import { BACKLOG, createLoad, verified } from "./load";
import { processorTimeOf } from "./processor-time";
import { requireRecords } from "./records";

/** Requests a second. */
export async function rate(
  harness: Harness,
  name: ServerName,
  connections: number,
  size: Size,
): Promise<number> {
  const server = await startFor(harness, name, connections, size);
  const { requestsPerSecond } = await closedLoop(server, connections, size.requests);
  await server.stop();
  await requireRecords(name, server.log, eachOf(connections, size.requests) * connections);
  return requestsPerSecond;
}

/** Milliseconds within which 99 of 100 replies come. */
export async function slowReply(
  harness: Harness,
  name: ServerName,
  connections: number,
  size: Size,
): Promise<number> {
  const server = await startFor(harness, name, connections, size);
  const { replyMs } = await closedLoop(server, connections, size.requests);
  await server.stop();
  return replyMs.p99;
}

/** The same on a few connections of as many children, while silent connections are open. */
export async function slowReplyBeside(
  harness: Harness,
  silent: number,
  { few, requests }: Size,
): Promise<number> {
  const setting = { children: few, workMs: 0, backlog: BACKLOG };
  const server = await harness.start("perRequest", setting);
  const clients = silent > 0 ? await harness.connectSilently(server, silent) : undefined;
  const { replyMs } = await closedLoop(server, few, requests);
  await clients?.stop();
  await server.stop();
  return replyMs.p99;
}

/**
 * Microseconds that the processors work for a request, in all processes of the server. Measured as
 * the difference of two loads: what a connection costs cancels out.
 */
export async function processorTime(
  harness: Harness,
  name: ServerName,
  connections: number,
  size: Size,
): Promise<number> {
  const server = await startFor(harness, name, connections, size);
  const timeOf = async (requests: number) => {
    const before = processorTimeOf(server.pid);
    await closedLoop(server, connections, requests);
    return processorTimeOf(server.pid) - before;
  };
  const measured = eachOf(connections, size.requests) * connections;
  const once = await timeOf(connections);
  const more = await timeOf(connections + measured);
  await server.stop();
  return (more - once) / measured;
}

/** With a process for each connection there are as many as connections. */
function startFor(
  harness: Harness,
  name: ServerName,
  connections: number,
  size: Size,
): Promise<Running> {
  requireRoomForClients(connections);
  const children = name === "perRequest" ? size.children : connections;
  return harness.start(name, { children, workMs: 0, backlog: BACKLOG });
}

/** `requests` over all connections. */
export async function closedLoop(
  server: Running,
  connections: number,
  requests: number,
): Promise<ClientResult> {
  const each = eachOf(connections, requests);
  // The accept queue holds all clients that connect at the same time: it is not what is measured.
  const window = BACKLOG / 2;
  const load = createLoad(server, { clients: connections, requests: each, barrier: true, window });
  return verified(load.run(), each * connections);
}

function eachOf(connections: number, requests: number): number {
  return Math.ceil(requests / connections);
}

/** Takes as many client processes as the connections need: each can have 20,000 descriptors. */
export async function rateOfProcesses(harness: Harness, connections: number): Promise<number> {
  const DURATION_MS = 4000;
  const setting = { children: connections, workMs: 0, backlog: BACKLOG };
  const server = await harness.start("kilofork", setting);
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
