/** Counts the system calls of a request with strace(1), in the process that serves it. */
import { readFileSync, statSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { findServer } from "../../src/status/servers";
import { Tracer } from "../../test/support/tracer";
import type { Harness } from "../servers/harness";
import { requireInstalled } from "../servers/installed";
import { LABELS, type ServerName } from "../servers/names";
import { BACKLOG, MESSAGE } from "./load";
import { closedLoop } from "./rate";

const REQUESTS = 100;
/** Enough to fill several batches, and requests over all of them. */
const CONNECTIONS = 128;
const BATCHED = 100 * CONNECTIONS;
/** The client has its reply before the call that sent it returns. */
const CALL_ENDS_WITHIN_MS = 50;
/**
 * Requests before the counted ones: calls that are made once are not counted, nor those that follow
 * a call that strace interrupts when it attaches.
 */
const WARM_UP = 5;
const CLOCK_CALLS = ["clock_gettime", "gettimeofday", "time"];

export function isClockCall(name: string): boolean {
  return CLOCK_CALLS.includes(name);
}

/** The mean number of calls that `isCounted` picks, over many requests on one connection. */
export async function countSystemCalls(
  harness: Harness,
  name: ServerName,
  isCounted: (call: string) => boolean,
): Promise<number> {
  requireInstalled("strace");
  const server = await harness.start(name, { children: 2, workMs: 0, backlog: BACKLOG });
  const client = await Client.connect(server.port);
  try {
    const trace = harness.newLog();
    let begun = 0; // bytes of the trace
    await traced(Number(client.pid), trace, async () => {
      for (let i = 0; i < WARM_UP; i++) await client.ask();
      await sleep(CALL_ENDS_WITHIN_MS);
      begun = statSync(trace).size;
      for (let i = 0; i < REQUESTS; i++) await client.ask();
    });
    const text = readFileSync(trace, "latin1");
    // The call that waited for the first counted request has begun before.
    const counted = text.slice(text.lastIndexOf("\n", begun - 1) + 1);
    const calls = callsOf(counted).filter(isCounted);
    harness.notes.add(`${LABELS[name]}: ${describe(calls, REQUESTS)}`);
    return calls.length / REQUESTS;
  } finally {
    client.close();
    await server.stop();
  }
}

/**
 * The mean number of calls of a request in the one child of a server with a process for each request,
 * while many more connections are ready than a batch holds.
 */
export async function countBatchedCalls(harness: Harness): Promise<number> {
  requireInstalled("strace");
  const server = await harness.start("perRequest", { children: 1, workMs: 0, backlog: BACKLOG });
  const { scoreboard } = findServer({ port: server.port, pid: undefined });
  try {
    const trace = harness.newLog();
    await traced(scoreboard.snapshot()[0]?.pid ?? 0, trace, () =>
      closedLoop(server, CONNECTIONS, BATCHED),
    );
    const calls = callsOf(readFileSync(trace, "latin1"));
    harness.notes.add(`${LABELS.perRequest}: ${describe(calls, BATCHED)}`);
    return calls.length / BATCHED;
  } finally {
    scoreboard.close();
    await server.stop();
  }
}

/** A client on one connection that sends one request after the other. */
class Client {
  static async connect(port: number): Promise<Client> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const greeting = await lines.next();
    return new Client(socket, lines, /\d+$/.exec(greeting.value ?? "")?.[0] ?? "");
  }

  private constructor(
    private readonly socket: ReturnType<typeof connect>,
    private readonly lines: AsyncIterator<string>,
    /** The pid in the greeting. */
    readonly pid: string,
  ) {}

  async ask(): Promise<void> {
    this.socket.write(`${MESSAGE}\n`);
    if ((await this.lines.next()).done) throw new Error("the server has closed the connection");
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Runs the step while strace writes the calls of all threads of the process to a file. */
async function traced(pid: number, file: string, step: () => Promise<unknown>): Promise<void> {
  const tracer = await Tracer.attach(pid, ["-f", "-o", file]);
  try {
    await step();
    await sleep(CALL_ENDS_WITHIN_MS);
  } finally {
    await tracer.detach();
  }
}

/**
 * The name of each call. A call that waits when strace detaches belongs to the next request; a call
 * that strace interrupted is made again. Neither counts.
 */
function callsOf(trace: string): string[] {
  return trace
    .split("\n")
    .filter((line) => !line.endsWith("<detached ...>") && !line.includes("ERESTART"))
    .flatMap((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? []);
}

/** `recvfrom 1, write 2, sendto 1`: the calls of one request. */
function describe(calls: readonly string[], requests: number): string {
  const counts = new Map<string, number>();
  for (const call of calls) counts.set(call, (counts.get(call) ?? 0) + 1);
  const each = (count: number) => Number((count / requests).toFixed(2));
  return [...counts].map(([call, count]) => `${call} ${each(count)}`).join(", ") || "none";
}
