/** The load that a server is measured under. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type ClientResult, DEFAULT_OS_THREADS, Load } from "../../src/client/load";
import type { Harness } from "../servers/harness";
import type { Running } from "../servers/launch";

export const MESSAGE = "arijort:lalala";
export const BACKLOG = 4096;
const REFERENCE_CLIENT_ENDS_WITHIN_MS = 15_000;

export interface LoadSize {
  readonly clients: number;
  /** Of each client. */
  readonly requests: number;
  /** All clients send when the last of them has been greeted. */
  readonly barrier?: boolean;
  /** Most clients that connect at the same time; 0: all. */
  readonly window?: number;
}

/** The client takes the pid from where this server says it. */
export function createLoad(
  { port, processPer }: Pick<Running, "port" | "processPer">,
  { barrier = false, window = 0, ...size }: LoadSize,
): Load {
  return new Load({
    ...{ port, processPer },
    ...{ host: "127.0.0.1", addresses: ["127.0.0.1"], ...size, barrier, window },
    ...{ reconnect: false, message: MESSAGE, durationMs: 0, rate: 0, rampMs: 0 },
    ...{ connectTimeoutMs: 30_000, replyTimeoutMs: 30_000, osThreads: DEFAULT_OS_THREADS },
  });
}

/** Throws unless this many replies are right. */
export async function verified(
  running: Promise<ClientResult>,
  expected: number,
): Promise<ClientResult> {
  const result = await running;
  if (result.requests.verified !== expected)
    throw new Error(`${result.requests.verified} of ${expected} verified: ${result.problems}`);
  return result;
}

/** Runs the reference client, one request a client; the milliseconds that it reports. */
export async function runReferenceClient(
  harness: Harness,
  port: number,
  clients: number,
): Promise<number> {
  const args = ["127.0.0.1", String(port), String(clients), MESSAGE];
  const timeout = REFERENCE_CLIENT_ENDS_WITHIN_MS;
  const { stdout } = await promisify(execFile)(harness.programs.referenceClient, args, { timeout });
  const [, handled, ms] = /(\d+) requests in ([\d.]+) milliseconds/.exec(stdout) ?? [];
  if (Number(handled) !== clients) throw new Error(`the reference client handled ${handled}`);
  return Number(ms);
}
