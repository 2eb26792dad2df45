/** The clients' side of an audit: the results of one or several clients, as one. */
import { sum } from "../base/numbers";
import type { ClientResult } from "../client/load";

/** What the clients saw together, as `--json` gives it. */
export interface ClientSide {
  readonly clients: number;
  readonly verified: number;
  /** The most requests in flight at one instant, and their processes. */
  readonly peak: number;
  readonly pids: number;
  /** For how long. */
  readonly heldMs: number;
}

export interface Clients extends ClientSide {
  readonly sent: number;
  /** Since 1970. */
  readonly peakFromMs: number;
}

/** Of several clients' peaks, those that overlap at an instant add up: processes serve one request each. */
export function sumOf(results: readonly ClientResult[]): Clients {
  const endOf = ({ inFlight }: ClientResult) => inFlight.fromMs + inFlight.heldMs;
  const instants = results.map(({ inFlight: { fromMs } }) => {
    const those = results.filter((one) => one.inFlight.fromMs <= fromMs && endOf(one) >= fromMs);
    return {
      peak: sum(those.map(({ inFlight }) => inFlight.peak)),
      pids: sum(those.map(({ inFlight }) => inFlight.pids)),
      heldMs: Math.min(...those.map(endOf)) - fromMs,
      peakFromMs: fromMs,
    };
  });
  const highest = instants.reduce((one, other) => (other.peak > one.peak ? other : one));
  return {
    clients: sum(results.map(({ clients }) => clients)),
    verified: sum(results.map(({ requests }) => requests.verified)),
    sent: sum(results.map(({ requests }) => requests.sent)),
    ...highest,
  };
}

/** Between the times of both sides, if their clocks are of two machines. */
export const TOLERANCE_MS = 1000;
/** If client and server ran on one machine: for rounding. */
const TOLERANCE_OF_ONE_CLOCK_MS = 5;

/** Whether a time is within the client's run: other clients may have sent the same messages. */
export function isWithin(client: ClientResult, ms: number | undefined): boolean {
  const { address, firstConnectMs, lastReplyMs, clockStepMs = 0 } = client;
  if (ms === undefined || !firstConnectMs || !lastReplyMs) return true;
  const isLocal = /^(127\.|::1$)/.test(address ?? "");
  // The clock was set during the client's run: its times and those of the log are of either clock.
  const tolerance = (isLocal ? TOLERANCE_OF_ONE_CLOCK_MS : TOLERANCE_MS) + Math.abs(clockStepMs);
  return ms >= firstConnectMs - tolerance && ms <= lastReplyMs + tolerance;
}

/** Whether two results are of the same run of a client. */
export function isSameRun(one: ClientResult, other: ClientResult): boolean {
  return (
    one.message === other.message &&
    one.firstConnectMs === other.firstConnectMs &&
    one.lastReplyMs === other.lastReplyMs &&
    one.requests.sent === other.requests.sent
  );
}
