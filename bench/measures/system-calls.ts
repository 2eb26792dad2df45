/** The system calls of a server's process for one request, seen by strace(1). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { type Harness, LABELS, type SubjectName } from "../servers/harness";
import { requireInstalled } from "../servers/installed";
import { BACKLOG, MESSAGE } from "./load";

const REQUESTS = 100;
/** The client has its reply before the call that sent it is over. */
const CALL_ENDS_WITHIN_MS = 50;
/** Requests before, so that nothing is counted that is done once. */
const WARM_UP = 5;
const ATTACHES_WITHIN_MS = 10_000;
const CLOCK_CALLS = ["clock_gettime", "gettimeofday", "time"];

export function isClockCall(name: string): boolean {
  return CLOCK_CALLS.includes(name);
}

/** Of the kind that `isCounted` picks, on a connection that is kept: the mean of many requests. */
export async function countSystemCalls(
  harness: Harness,
  name: SubjectName,
  isCounted: (call: string) => boolean,
): Promise<number> {
  requireInstalled("strace");
  const server = await harness.start(name, { children: 2, workMs: 0, backlog: BACKLOG });
  const client = await Client.connect(server.port);
  try {
    for (let i = 0; i < WARM_UP; i++) await client.ask();
    const trace = harness.newLog();
    await traced(client.pid, trace, async () => {
      for (let i = 0; i < REQUESTS; i++) await client.ask();
    });
    const calls = callsOf(readFileSync(trace, "latin1")).filter(isCounted);
    harness.notes.add(`${LABELS[name]}: ${describe(calls)}`);
    return calls.length / REQUESTS;
  } finally {
    client.close();
    await server.stop();
  }
}

/** One connection, one request after the other. */
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
    /** Of the process that serves it. */
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

/** Does the step while strace writes what the process calls, all its threads included. */
async function traced(pid: string, file: string, step: () => Promise<void>): Promise<void> {
  const tracer = spawn("strace", ["-f", "-p", pid, "-o", file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(tracer, "exit");
  try {
    const signal = AbortSignal.timeout(ATTACHES_WITHIN_MS);
    const [said] = await once(tracer.stderr, "data", { signal });
    if (!String(said).includes("attached")) throw new Error(String(said).trim());
    await step();
    await sleep(CALL_ENDS_WITHIN_MS);
  } finally {
    tracer.kill("SIGINT");
    await ended;
  }
}

/**
 * The name of each call that was made. One that waits when strace leaves belongs to the request
 * that did not come; one that strace itself interrupted is made again.
 */
function callsOf(trace: string): string[] {
  return trace
    .split("\n")
    .filter((line) => !line.endsWith("<detached ...>") && !line.includes("ERESTART"))
    .flatMap((line) => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? []);
}

/** `recvfrom 1, write 2, sendto 1`, of one request. */
function describe(calls: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const call of calls) counts.set(call, (counts.get(call) ?? 0) + 1);
  const each = (count: number) => Number((count / REQUESTS).toFixed(2));
  return [...counts].map(([call, count]) => `${call} ${each(count)}`).join(", ") || "none";
}
