/**
 * Audits a log: folds its records into runs, compares the last run with the client's result, and
 * lists what does not agree. Prints nothing.
 */
import { KiloforkError } from "../base/errors";
import { parseRequest } from "../base/protocol";
import type { ClientResult } from "../client/load";
import { type DamageKind, isHarmless, type Place, readLog } from "../log/damage";
import { Kind, type Record } from "../log/record";
import { Run, type RunReport } from "./run";

export interface AuditOptions {
  /** Rotated files of one log, in order. */
  readonly logs: readonly string[];
  readonly client?: ClientResult | undefined;
  /** Selects requests by a prefix of their messages. Default: the client's; without a client, all. */
  readonly match?: string | undefined;
  /** The peak must be at least this; 0: no condition. */
  readonly atLeast: number;
  /** Reports every run, not only the last. */
  readonly all: boolean;
  /** Called for every change of the number in flight, in every run; times in UTC if the log says its offset. */
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
  /** Damaged places in the runs before those that are reported. */
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
    /** Whether the client's peak covers the whole peak of the log. */
    readonly containsLogPeak: boolean;
  } | null;
}

/** Throws ERR_UNREADABLE if a log or the client's result cannot be judged. */
export function audit(options: AuditOptions): AuditResult {
  const runs = readRuns(options);
  const last = runs.audited.at(-1);
  if (!last)
    throw new KiloforkError(
      "ERR_UNREADABLE",
      `${options.logs.join(", ")}: no record of a server in it`,
    );
  const { client } = options;
  const problems = runs.audited.flatMap((run) => [
    ...run.problems,
    ...problemsOfPeak(run, options),
  ]);
  if (client) {
    const { firstPids = [] } = client.greeted ?? {};
    if (last.begun && firstPids.length > 0 && !runs.hasAnyOf(firstPids))
      throw new KiloforkError(
        "ERR_UNREADABLE",
        "the client's result is not of the last run in the log: no process of that run greeted it",
      );
    problems.push(...problemsOfClient(last, client, options));
  }
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
  /** Whether one of these processes is a child of the last run. */
  readonly hasAnyOf: (pids: readonly number[]) => boolean;
}

/** After a rotation, a stopped process may still write to the older file for this time. */
const LATE_WRITER_MS = 60_000;

/** Reads a second time if a later record shows that a request had ended earlier. */
function readRuns({ onChange, ...options }: AuditOptions): Runs {
  const first = readRunsKnowing([], options);
  const isKnown = first.uncertain.every(({ size }) => size === 0);
  return isKnown && !onChange
    ? first
    : readRunsKnowing(first.uncertain, { ...options, ...(onChange && { onChange }) });
}

/** `known`: {@link Run.uncertain} of each run. */
function readRunsKnowing(
  known: readonly ReadonlySet<number>[],
  options: AuditOptions,
): Runs & { readonly uncertain: readonly ReadonlySet<number>[] } {
  const select = selector(options);
  const audited: RunReport[] = [];
  const uncertain: ReadonlySet<number>[] = [];
  const early: [DamageKind, Place][] = []; // before the first record
  let damagedBefore = 0;
  let run: Run | undefined;
  let before: Start | undefined; // of the file before this one

  const begin = (fromStart: boolean) => {
    if (run && options.all) audited.push(run.report());
    else if (run) damagedBefore += run.foreignLines;
    const next = new Run(fromStart, known[uncertain.length] ?? new Set(), options.onChange);
    uncertain.push(next.uncertain);
    for (const [kind, place] of early.splice(0))
      if (!fromStart) next.addDamage(kind, place);
      else if (!isHarmless(kind)) damagedBefore++;
    run = next;
    return next;
  };
  for (const path of options.logs) {
    let start: Start | undefined;
    readLog(path, {
      onRecord(record, bytes) {
        const isInit = record.kind === Kind.init;
        const current = isInit || !run ? begin(isInit) : run;
        current.add(record, select(record, bytes, current));
        // The offset from UTC of a new run stands in its second record.
        if (isInit || start) return;
        start = { localMs: record.timeMs, utcMs: current.utcOf(record.timeMs) };
        if (before && isEarlier(start, before))
          throw new KiloforkError(
            "ERR_UNREADABLE",
            `${path} begins earlier than the file before it: give the oldest first`,
          );
        before = start;
      },
      onDamage(kind, place) {
        if (run) run.addDamage(kind, place);
        else early.push([kind, place]);
      },
    });
  }
  const last = run;
  if (last) audited.push(last.report());
  const hasAnyOf = (pids: readonly number[]) => last?.hasAnyOf(pids) ?? false;
  return { audited, count: uncertain.length, damagedBefore, uncertain, hasAnyOf };
}

/** The time of a file's first records. */
interface Start {
  readonly localMs: number;
  readonly utcMs: number | undefined;
}

/** Local time comes twice when it is set back. */
function isEarlier(start: Start, before: Start): boolean {
  const passed =
    start.utcMs !== undefined && before.utcMs !== undefined
      ? start.utcMs - before.utcMs
      : start.localMs - before.localMs;
  return passed < -LATE_WRITER_MS;
}

type Selector = (record: Record, bytes: Buffer, run: Run) => boolean;

/** Returns whether a record is one of the selected; compares escaped text, as it is in the log. */
function selector({ match, client }: AuditOptions): Selector {
  const hasMessage = ({ kind }: Record) => kind === Kind.received || kind === Kind.completed;
  const begins = (bytes: Buffer, prefix: Buffer, start: number, end: number) =>
    end - start >= prefix.length &&
    bytes.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0;
  if (match !== undefined) {
    const prefix = Buffer.from(match);
    return (record, bytes) =>
      hasMessage(record) && begins(bytes, prefix, record.messageStart, record.messageEnd);
  }
  const request = client && parseRequest(Buffer.from(client.message), false);
  if (!client || !request) return hasMessage;

  const prefix = Buffer.from(`${escapeText(request.message.toString())} `);
  const user = Buffer.from(request.user);
  return (record, bytes, run) => {
    const { messageStart, messageEnd, userStart, userEnd } = record;
    if (!hasMessage(record) || !begins(bytes, prefix, messageStart, messageEnd)) return false;
    const number = bytes.toString("latin1", messageStart + prefix.length, messageEnd);
    if (!/^\d+(\.\d+)?$/.test(number)) return false;
    const isOfUser = userEnd - userStart === user.length && begins(bytes, user, userStart, userEnd);
    return (
      (record.kind !== Kind.received || isOfUser) && isWithin(client, run.utcOf(record.timeMs))
    );
  };
}

/** Between the times of both sides, if the clock is not set. */
const TOLERANCE_MS = 1000;

/** Whether a time is within the client's run: other clients may have sent the same messages. */
function isWithin(client: ClientResult, ms: number | undefined): boolean {
  const { firstConnectMs, lastReplyMs, clockStepMs = 0 } = client;
  if (ms === undefined || !firstConnectMs || !lastReplyMs) return true;
  // The clock was set during the client's run: its times and those of the log are of either clock.
  const tolerance = TOLERANCE_MS + Math.abs(clockStepMs);
  return ms >= firstConnectMs - tolerance && ms <= lastReplyMs + tolerance;
}

/** Escapes as native/core/base/escape.cpp does. */
function escapeText(text: string): string {
  const hex = (byte: number) => `\\x${byte.toString(16).padStart(2, "0")}`;
  return text
    .replaceAll(/["\\]/g, "\\$&")
    .replaceAll(/\p{Cc}/gu, (control) => [...Buffer.from(control)].map(hex).join(""));
}

function problemsOfPeak(run: RunReport, { atLeast }: AuditOptions): string[] {
  return run.peak >= atLeast ? [] : [`log: peak ${run.peak} < ${atLeast}`];
}

/** Compares the counts of both sides, and the peak that each saw. */
function problemsOfClient(
  run: RunReport,
  client: ClientResult,
  { atLeast, match }: AuditOptions,
): string[] {
  const problems: string[] = [];
  const { verified, sent } = client.requests;
  const { counted } = run.ledger;
  // A clock that was set back makes a result look older; the requests in the log say that it is not.
  const isOlder =
    run.server > 0 && // the log says its offset from UTC
    client.firstConnectMs > 0 &&
    client.firstConnectMs < run.startedMs - TOLERANCE_MS &&
    (match !== undefined || run.received.count === 0);
  if (isOlder)
    throw new KiloforkError(
      "ERR_UNREADABLE",
      "the client's result is older than the last run in the log",
    );
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

/** Both sides read the clock of one machine; the tolerance is for rounding. */
function contains(client: ClientResult, run: RunReport): boolean {
  const TOLERANCE_MS = 1;
  const { fromMs, heldMs } = client.inFlight;
  return (
    fromMs <= run.peakFromMs + TOLERANCE_MS &&
    fromMs + heldMs >= run.peakFromMs + run.peakHeldMs - TOLERANCE_MS
  );
}
