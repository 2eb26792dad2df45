/**
 * Judges a log: folds its runs, holds them against the client's result, and says what does not
 * agree. No printing here.
 */
import type { ClientResult } from "../client/load";
import { unjudgeable } from "../errors";
import { parseRequest } from "../protocol";
import { readLog } from "./damage";
import { Kind, type Record } from "./record";
import { Run, type RunReport } from "./run";

export interface AuditOptions {
  /** Rotated files of one log, in order. */
  readonly logs: readonly string[];
  readonly client?: ClientResult | undefined;
  /** Select requests whose message begins with it; with a client, its messages are the default. */
  readonly match?: string | undefined;
  /** The peak must be at least this; 0: no condition. */
  readonly atLeast: number;
  readonly all: boolean;
  /** Is told of every change of the number in flight in the last run. */
  readonly onChange?: (timeMs: number, inFlight: number) => void;
}

/** The result, as `--json` gives it. */
export interface AuditResult {
  readonly kind: "audit";
  readonly schema: 1;
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly logs: readonly string[];
  readonly runsInLog: number;
  /** Damaged places in the runs that were passed over. */
  readonly damagedBefore: number;
  readonly atLeast: number;
  /** The last run, or with `--all` all of them. */
  readonly runs: readonly RunReport[];
  readonly client: {
    readonly clients: number;
    readonly verified: number;
    readonly peak: number;
    readonly pids: number;
    readonly heldMs: number;
    /** Whether the client saw its peak during all of the log's. */
    readonly containsLogPeak: boolean;
  } | null;
}

export function audit(options: AuditOptions): AuditResult {
  const runs = readRuns(options);
  const last = runs.audited.at(-1);
  if (!last) throw unjudgeable(`${options.logs.join(", ")}: no record of a server in it`);
  const { client } = options;
  const problems = runs.audited.flatMap((run) => [
    ...run.problems,
    ...problemsOfPeak(run, options),
  ]);
  if (client) problems.push(...problemsOfClient(last, client, options));
  return {
    kind: "audit",
    schema: 1,
    ok: problems.length === 0,
    problems,
    logs: options.logs,
    runsInLog: runs.count,
    damagedBefore: runs.damagedBefore,
    atLeast: options.atLeast,
    runs: runs.audited,
    client: client
      ? {
          clients: client.clients,
          verified: client.requests.verified,
          peak: client.inFlight.peak,
          pids: client.inFlight.pids,
          heldMs: client.inFlight.heldMs,
          containsLogPeak: contains(client, last),
        }
      : null,
  };
}

interface Runs {
  readonly audited: readonly RunReport[];
  readonly count: number;
  readonly damagedBefore: number;
}

function readRuns(options: AuditOptions): Runs {
  const select = selector(options);
  const audited: RunReport[] = [];
  let count = 0;
  let damagedBefore = 0;
  let hasRecord = false;
  let run: Run | undefined;

  const begin = (fromStart: boolean) => {
    if (run && options.all) audited.push(run.report());
    else if (run) damagedBefore += run.foreignLines;
    run = new Run(fromStart, options.onChange);
    count++;
    return run;
  };
  const isSelected = (record: Record, bytes: Buffer) =>
    (record.kind === Kind.received || record.kind === Kind.completed) &&
    select(bytes, record.messageStart, record.messageEnd);
  for (const path of options.logs)
    readLog(path, {
      onRecord(record, bytes) {
        hasRecord = true;
        if (record.kind === Kind.init) begin(true);
        else (run ?? begin(false)).add(record, isSelected(record, bytes));
      },
      onDamage(kind, place) {
        (run ?? begin(false)).addDamage(kind, place);
      },
    });
  if (run && hasRecord) audited.push(run.report());
  return { audited, count, damagedBefore };
}

type Selector = (bytes: Buffer, start: number, end: number) => boolean;

/** By the escaped text of a message, as it stands in the log. */
function selector({ match, client }: AuditOptions): Selector {
  const ofClient = client ? parseRequest(Buffer.from(client.message), false) : null;
  const prefix =
    match !== undefined ? Buffer.from(match) : ofClient && clientPrefix(ofClient.message);
  if (!prefix || prefix.length === 0) return () => true;
  return (bytes, start, end) =>
    end - start >= prefix.length &&
    bytes.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0;
}

/** The client appends a space and a number; where the log escapes something, we do not guess. */
function clientPrefix(message: Buffer): Buffer {
  const text = message.toString();
  return /^[^"\\\p{C}]*$/u.test(text) ? Buffer.from(`${text} `) : Buffer.alloc(0);
}

function problemsOfPeak(run: RunReport, { atLeast }: AuditOptions): string[] {
  return run.peak >= atLeast ? [] : [`log: peak ${run.peak} < ${atLeast}`];
}

/** The books of both sides, and what each saw at one instant. */
function problemsOfClient(
  run: RunReport,
  client: ClientResult,
  { atLeast, match }: AuditOptions,
): string[] {
  const problems: string[] = [];
  const { verified, sent } = client.requests;
  const { counted } = run.ledger;
  if (client.firstConnectMs > 0 && client.firstConnectMs < run.startedMs - 1000)
    throw unjudgeable("the client's result is older than the last run in the log");
  if (run.ended && verified > counted)
    problems.push(`client: ${verified} replies verified, but the server counted ${counted}`);
  if (match === undefined && verified > run.completed.count)
    problems.push(
      `client: ${verified} replies verified, but the log has ${run.completed.count} of its requests completed`,
    );
  if (match === undefined && run.received.count > sent)
    problems.push(
      `log: ${run.received.count} requests of the client received, but it sent ${sent}`,
    );
  if (client.inFlight.peak < atLeast)
    problems.push(`client: peak ${client.inFlight.peak} < ${atLeast}`);
  if (client.inFlight.pids < atLeast)
    problems.push(`client: in ${client.inFlight.pids} processes < ${atLeast}`);
  return problems;
}

/** Both clocks are of one machine; each side rounds. */
function contains(client: ClientResult, run: RunReport): boolean {
  const TOLERANCE_MS = 1;
  const { fromMs, heldMs } = client.inFlight;
  return (
    fromMs <= run.peakFromMs + TOLERANCE_MS &&
    fromMs + heldMs >= run.peakFromMs + run.peakHeldMs - TOLERANCE_MS
  );
}
