/**
 * Audits a log: folds its records into runs, compares the last run with the clients' results, and
 * lists what does not agree. Prints nothing.
 */
import { statSync } from "node:fs";
import { KiloforkError } from "../base/errors";
import { parseRequest } from "../base/protocol";
import type { ClientResult } from "../client/load";
import { type DamageKind, isHarmless, type Place, readLog } from "../log/damage";
import { Kind, type Record } from "../log/record";
import { type ClientSide, type Clients, isSameRun, isWithin, sumOf, TOLERANCE_MS } from "./clients";
import { type Ledger, Run, type RunReport } from "./run";
import { countOfRunning } from "./running";

export interface AuditOptions {
  /** Rotated files of one log, in order. */
  readonly logs: readonly string[];
  /** The results of all clients that sent these messages: one side of the books. */
  readonly clients?: readonly ClientResult[] | undefined;
  /** Selects requests by a prefix of their messages. Default: the clients'; without a client, all. */
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
  /** Of all clients together. */
  readonly client:
    | (ClientSide & {
        /** Whether the clients' peak covers the whole peak of the log. */
        readonly containsLogPeak: boolean;
      })
    | null;
}

/** Throws ERR_UNREADABLE if a log or a client's result cannot be judged. */
export function audit(options: AuditOptions): AuditResult {
  const runs = readRuns(options);
  const { audited } = runs;
  const last = audited.at(-1);
  if (!last)
    throw new KiloforkError(
      "ERR_UNREADABLE",
      `${options.logs.join(", ")}: no record of a server in it`,
    );
  const { clients = [] } = options;
  const side = clients.length > 0 ? sumOf(clients) : undefined;
  for (const client of clients) refuseOtherRun(client, last, runs, options);
  const problems = [
    ...audited.flatMap((run) => [...run.problems, ...problemsOfPeak(run, options)]),
    ...problemsOfMatch(audited, options),
    ...(side ? problemsOfClients(last, side, options) : []),
  ];
  return {
    kind: "audit",
    schema: 1,
    ok: problems.length === 0,
    problems,
    logs: options.logs,
    runsInLog: runs.count,
    damagedBefore: runs.damagedBefore,
    atLeast: options.atLeast,
    runs: audited,
    client: side
      ? {
          clients: side.clients,
          verified: side.verified,
          peak: side.peak,
          pids: side.pids,
          heldMs: side.heldMs,
          containsLogPeak: contains(side, last),
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

/**
 * Reads a second time if a later record shows that a request had ended earlier, or if the server still
 * runs: after its count, so that each request that it counted is in the log.
 */
function readRuns({ onChange, ...options }: AuditOptions): Runs {
  const first = readRunsKnowing([], options);
  const isKnown = first.uncertain.every(({ size }) => size === 0);
  const counted = countOfLast(first, options);
  if (isKnown && counted === undefined && !onChange) return first;
  const pipe = options.logs.find((path) => !statSync(path).isFile());
  if (pipe !== undefined)
    throw new KiloforkError(
      "ERR_UNREADABLE",
      `${pipe} is no file, and this log must be read twice: save it in a file`,
    );
  const runs = readRunsKnowing(first.uncertain, { ...options, ...(onChange && { onChange }) });
  const last = runs.audited.at(-1);
  if (counted === undefined || !last || last.ended) return runs;
  return { ...runs, audited: [...runs.audited.slice(0, -1), withCount(last, counted)] };
}

function countOfLast({ audited }: Runs, { logs }: AuditOptions): number | undefined {
  const last = audited.at(-1);
  const log = logs.at(-1);
  return last?.begun && !last.ended && log !== undefined
    ? countOfRunning(last.server, log)
    : undefined;
}

function withCount(run: RunReport, counted: number): RunReport {
  const ledger: Ledger = { ...run.ledger, counted, countedFrom: "shared memory" };
  const acknowledged = ledger.completed - ledger.takenBack;
  const problems =
    counted > acknowledged
      ? [
          `the server counted ${counted} requests, but the log has ${acknowledged} completed records`,
        ]
      : [];
  return { ...run, ledger, problems: [...run.problems, ...problems] };
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
function selector({ match, clients = [] }: AuditOptions): Selector {
  const hasMessage = ({ kind }: Record) => kind === Kind.received || kind === Kind.completed;
  if (match !== undefined) {
    const prefix = Buffer.from(match);
    return (record, bytes) =>
      hasMessage(record) && begins(bytes, prefix, record.messageStart, record.messageEnd);
  }
  const selectors = clients.map(selectorOf);
  if (selectors.length === 0) return hasMessage;
  return (...record) => hasMessage(record[0]) && selectors.some((select) => select(...record));
}

const begins = (bytes: Buffer, prefix: Buffer, start: number, end: number) =>
  end - start >= prefix.length &&
  bytes.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0;

/** Selects the messages of a client among records with a message. */
function selectorOf(client: ClientResult): Selector {
  const request = parseRequest(Buffer.from(client.message), false);
  if (!request) return () => true;
  const prefix = Buffer.from(`${escapeText(request.message.toString())} `);
  const user = Buffer.from(request.user);
  return (record, bytes, run) => {
    const { messageStart, messageEnd, userStart, userEnd } = record;
    if (!begins(bytes, prefix, messageStart, messageEnd)) return false;
    const number = bytes.toString("latin1", messageStart + prefix.length, messageEnd);
    if (!/^\d+(\.\d+)?$/.test(number)) return false;
    const isOfUser = userEnd - userStart === user.length && begins(bytes, user, userStart, userEnd);
    return (
      (record.kind !== Kind.received || isOfUser) && isWithin(client, run.utcOf(record.timeMs))
    );
  };
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

/** A condition that selects nothing says nothing of the books. */
function problemsOfMatch(runs: readonly RunReport[], { match }: AuditOptions): string[] {
  const isFound = runs.some(({ received, completed }) => received.count + completed.count > 0);
  return match === undefined || isFound ? [] : [`log: no message begins with ${match} (--match)`];
}

/** Throws if the client's result is of another run of the server, or is given twice. */
function refuseOtherRun(
  client: ClientResult,
  run: RunReport,
  runs: Runs,
  { match, clients = [] }: AuditOptions,
): void {
  const refuse = (why: string) => {
    throw new KiloforkError("ERR_UNREADABLE", why);
  };
  const { firstPids = [] } = client.greeted ?? {};
  if (clients.filter((other) => isSameRun(client, other)).length > 1)
    refuse("the result of one run of a client is given twice");
  if (run.begun && firstPids.length > 0 && !runs.hasAnyOf(firstPids))
    refuse(
      "the client's result is not of the last run in the log: no process of that run greeted it",
    );
  // A clock that was set back makes a result look older; the requests in the log say that it is not.
  const isOlder =
    run.server > 0 && // the log says its offset from UTC
    client.firstConnectMs > 0 &&
    client.firstConnectMs < run.startedMs - TOLERANCE_MS &&
    (match !== undefined || run.received.count === 0);
  if (isOlder) refuse("the client's result is older than the last run in the log");
}

/** Compares the counts of both sides, and the peak that each saw. */
function problemsOfClients(
  run: RunReport,
  { verified, sent, peak, pids }: Clients,
  { atLeast, match }: AuditOptions,
): string[] {
  const problems: string[] = [];
  const { counted, countedFrom } = run.ledger;
  if ((run.ended || countedFrom === "shared memory") && verified > counted)
    problems.push(`client: ${verified} replies verified, but the server counted ${counted}`);
  if (match === undefined && verified > run.completed.count)
    problems.push(
      `client: ${verified} replies verified, but the log has ${run.completed.count} of its requests completed`,
    );
  // A request that was carried out twice would look the same.
  if (match === undefined && run.received.count > sent)
    throw new KiloforkError(
      "ERR_UNREADABLE",
      `the log has ${run.received.count} requests with the client's message, and it sent ${sent}: if other clients sent that message at the same time, give the result of each (--client, several times), or a message of its own to each`,
    );
  if (peak < atLeast) problems.push(`client: peak ${peak} < ${atLeast}`);
  if (pids < atLeast) problems.push(`client: in ${pids} processes < ${atLeast}`);
  return problems;
}

/** Both sides read the clock of one machine; the tolerance is for rounding. */
function contains({ peakFromMs, heldMs }: Clients, run: RunReport): boolean {
  const TOLERANCE_MS = 1;
  return (
    peakFromMs <= run.peakFromMs + TOLERANCE_MS &&
    peakFromMs + heldMs >= run.peakFromMs + run.peakHeldMs - TOLERANCE_MS
  );
}
