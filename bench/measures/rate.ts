/** Requests a second. Each client sends its next request when it has its reply (closed loop). */
import { describeFailures } from "../../src/client/load";
import { clientProcesses } from "../../src/limit/bounds";
import { Clients } from "../../src/limit/clients";
import { readMachine } from "../../src/machine/capacity";
import { requireRoomForClients } from "../servers/capacity";
import type { Harness } from "../servers/harness";
import type { Running } from "../servers/launch";
import type { ServerName } from "../servers/servers";
import { BACKLOG, createLoad, verified } from "./load";

export async function rate(
  harness: Harness,
  name: ServerName,
  connections: number,
  requests: number,
): Promise<number> {
  requireRoomForClients(connections);
  const server = await harness.start(name, { children: connections, workMs: 0, backlog: BACKLOG });
  const perSecond = await rateOf(server, connections, requests);
  await server.stop();
  return perSecond;
}

/** `requests` over all connections. */
export async function rateOf(
  { port }: Running,
  connections: number,
  requests: number,
): Promise<number> {
  const each = Math.ceil(requests / connections);
  // The accept queue holds all clients that connect at the same time: it is not what is measured.
  const window = BACKLOG / 2;
  const load = createLoad({ port, clients: connections, requests: each, barrier: true, window });
  return (await verified(load.run(), each * connections)).requestsPerSecond;
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
