/** Milliseconds of what comes at once: the start of all children, the requests of all clients. */
import { audit } from "../../src/audit/audit";
import type { Size } from "../figures/figure";
import type { Harness } from "../servers/harness";
import { isKilofork, LABELS, type ServerName } from "../servers/names";
import { BACKLOG, createLoad, runReferenceClient, verified } from "./load";

export async function startTime(
  harness: Harness,
  name: ServerName,
  children: number,
): Promise<number> {
  const server = await harness.start(name, { children, workMs: 0, backlog: BACKLOG });
  await server.stop();
  return server.upMs;
}

/**
 * From the first record `recvd` in the server's log to the last. Each server has its own client, and
 * all clients connect at once. `few`: the children of a pool that has to grow.
 */
export async function receivedWindow(
  harness: Harness,
  name: ServerName,
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
    // With a backlog of 100 the kernel forgets handshakes, and some clients are never accepted.
    await runReferenceClient(harness, server.port, children).catch(() => {});
  } else {
    const load = createLoad(server, { clients: children, requests: 1 });
    const result = await verified(load.run(), children);
    if (result.synRetransmits > 0) throw new Error(`${result.synRetransmits} SYNs were sent again`);
  }
  await server.stop();
  const run = audit({ logs: [server.log], atLeast: 0, all: false }).runs[0];
  const { received: { count = 0 } = {}, peak = 0 } = run ?? {};
  if (count < children)
    harness.notes.add(`${name}, backlog ${backlog}: only ${count} of ${children} were received`);
  else if (peak < children && isKilofork(name))
    harness.notes.add(`${LABELS[name]}: only ${peak} of ${children} at one instant`);
  return (run?.received.lastMs ?? 0) - (run?.received.firstMs ?? 0);
}

/**
 * Computes how long Apache's prefork server takes to have all children: it forks 1, 2, 4 … 32 a
 * second while too few are idle. Source: perform_idle_server_maintenance() in
 * server/mpm/prefork/prefork.c.
 */
export function apacheGrowth(few: number, children: number): number {
  let seconds = 0;
  for (let rate = 1, alive = few; alive < children; alive += rate, rate = Math.min(2 * rate, 32))
    seconds++;
  return seconds * 1000;
}

/** From the first connect to the last reply of all clients, one request each. */
export async function roundTrip(
  harness: Harness,
  client: "kilofork" | "reference",
  name: ServerName,
  children: number,
): Promise<number> {
  const server = await harness.start(name, { children, workMs: 0, backlog: BACKLOG });
  const load = createLoad(server, { clients: children, requests: 1 });
  const elapsed =
    client === "reference"
      ? await runReferenceClient(harness, server.port, children)
      : (await verified(load.run(), children)).elapsedMs;
  await server.stop();
  return elapsed;
}
