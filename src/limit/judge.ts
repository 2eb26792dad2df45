/**
 * Judges a trial: whether it held, and if not, what broke: its name, the evidence, and the setting
 * that moves it. Pure functions of the measurement.
 */
import { constants } from "node:os";
import type { FailureKind } from "../base/enumerations";
import { nameOfErrno } from "../base/errors";
import { plural, showCount, showDuration } from "../base/units";
import { describeFailures } from "../client/load";
import type { MachineLimit } from "../machine/capacity";
import type { LoadFailures } from "../native/load";
import type { LogReading, Measured, TrialPlan } from "./harness";

/** A limit that ends the search, or would end it next. */
export interface Limit {
  /** `kernel.pid_max 32768`, `memory`, `client`. */
  readonly name: string;
  /** The setting that moves it; in words if there is none. */
  readonly setting: string;
  /** Number of clients that it allows; null if that is not known beforehand. */
  readonly clients: number | null;
  /** The measurements that show it. */
  readonly evidence: string;
}

export interface Verdict {
  readonly held: boolean;
  readonly problems: readonly string[];
  /** Null when it held. */
  readonly cause: Limit | null;
  /** All replies were right, but some were late. */
  readonly late: boolean;
  /** The client processes were not in flight together: the trial says nothing of the server. */
  readonly apart: boolean;
}

export interface Conditions {
  readonly sloMs: number;
  /** The limit that most likely makes a fork fail. */
  readonly nearestProcessLimit: Pick<MachineLimit, "name" | "remedy">;
}

/** The cause that is not the server's. */
export const CLIENT = "client";
/** Share of the scheduled requests that must be replied to in an open loop. */
const KEPT_SHARE = 0.98;
const BUSY_SHARE = 0.95;
/** The client is the cause if its lag exceeds this share of the latency beyond the work. */
const OWN_SHARE = 0.5;
/** The setting of a cause that no setting moves. */
const SEE_EVIDENCE = "none: see the evidence";
/** Failures that more time would have avoided. */
const LATE: readonly FailureKind[] = ["timeout", "ungreeted", "overdue"];

export function judge(measured: Measured, plan: TrialPlan, conditions: Conditions): Verdict {
  const overdue = beyondSlo(measured, conditions);
  const wrong = [
    ...problemsOfServer(measured),
    ...problemsOfClients(measured, plan),
    ...problemsOfConcurrency(measured, plan),
    ...problemsOfBooks(measured),
  ];
  const slow = problemsOfRate(measured, plan);
  const right = wrong.length === 0;
  const apart = right && isAtOnce(plan) && measured.clients?.togetherMs === 0;
  const problems = [
    ...wrong,
    ...(apart ? ["the client processes were not in flight together"] : []),
    ...slow,
    ...(overdue ? [overdue] : []),
  ];
  const held = problems.length === 0;
  return {
    held,
    problems,
    cause: held ? null : causeOf(measured, plan, conditions, problems, apart),
    late: !held && right && !apart,
    apart,
  };
}

/** Whether it is a trial of clients: one request each, all in flight together. */
const isAtOnce = ({ durationMs }: TrialPlan) => durationMs === 0;

// ---- what is wrong -------------------------------------------------------------------------------

function problemsOfServer({ startFailure, shortage }: Measured): string[] {
  if (shortage) return ["ended before more memory was taken than --max-memory allows"];
  return startFailure ? [startFailure.message] : [];
}

function problemsOfClients({ clients }: Measured, plan: TrialPlan): string[] {
  if (!clients) return [];
  const failures = clients.failures.filter(({ kind }) => kind !== "overdue"); // a matter of the rate
  const problems = [...clients.lost, ...failures.map(describeFailures)];
  if (isAtOnce(plan) && problems.length === 0 && clients.verified !== plan.clients)
    problems.push(`${showCount(clients.verified)} of ${showCount(plan.clients)} replies verified`);
  if (clients.synRetransmits > 0)
    problems.push(`${plural(clients.synRetransmits, "SYN")} sent again: the accept queue was full`);
  return problems;
}

function problemsOfConcurrency({ clients, log }: Measured, plan: TrialPlan): string[] {
  if (!isAtOnce(plan) || !clients || !log) return [];
  const problems = [...clients.incomplete];
  if (!isFull(log, plan))
    problems.push(
      `log: ${showCount(log.peak)} of ${showCount(plan.clients)} in flight at one instant, in ${showCount(log.pids)} processes`,
    );
  return problems;
}

const isFull = ({ peak, pids }: LogReading, plan: TrialPlan) =>
  peak === plan.clients && pids === plan.clients;

function problemsOfBooks({ clients, log }: Measured): string[] {
  if (!clients || !log) return [];
  const problems = [...log.problems];
  if (clients.verified > log.counted)
    problems.push(
      `books: ${showCount(clients.verified)} replies verified, but the server counted ${showCount(log.counted)}`,
    );
  return problems;
}

function problemsOfRate({ clients }: Measured, { rate, durationMs }: TrialPlan): string[] {
  if (!clients || rate === 0) return [];
  const achieved = (clients.verified * 1000) / Math.max(durationMs, clients.elapsedMs);
  return achieved >= rate * KEPT_SHARE
    ? []
    : [`${showCount(achieved)} of ${showCount(rate)} requests a second were replied to`];
}

function beyondSlo({ clients }: Measured, { sloMs }: Conditions): string | null {
  if (!clients || clients.beyondMs.count === 0 || clients.beyondMs.p99 <= sloMs) return null;
  return `replies took ${showDuration(clients.beyondMs.p99)} beyond the work (p99), more than --slo`;
}

// ---- what broke ----------------------------------------------------------------------------------

/** Returns the first cause, in this order, for which there is evidence. */
function causeOf(
  measured: Measured,
  plan: TrialPlan,
  { sloMs, nearestProcessLimit }: Conditions,
  problems: readonly string[],
  apart: boolean,
): Limit {
  const { shortage, startFailure, clients, log, logError, busiestShare, otherShare } = measured;
  const all = problems.join("; ");
  const limit = (name: string, setting: string, evidence = all): Limit => ({
    ...{ name, setting, clients: null, evidence },
  });
  if (shortage) return limit("memory", "--max-memory, or more memory");
  if (startFailure) {
    const { code, errno, message } = startFailure;
    if (code !== "ERR_MACHINE_LIMIT" || errno === undefined)
      return limit("the server's start", SEE_EVIDENCE);
    if (errno === constants.errno.EMFILE)
      return limit("open files", "ulimit -n, systemd: LimitNOFILE=", message);
    if (errno === constants.errno.ENOMEM) return limit("memory", "more memory", message);
    return limit(nearestProcessLimit.name, nearestProcessLimit.remedy, message);
  }
  if (logError !== 0)
    return limit("log", "the disk that holds TMPDIR", `${nameOfErrno(logError)}; ${all}`);
  if ((log?.died ?? 0) > 0)
    return limit(
      "children that died",
      "see the kernel's log",
      `${plural(log?.died ?? 0, "child", "children")} died; ${all}`,
    );
  const known = clients?.failures.map(causeOfFailure).find((cause) => cause !== undefined);
  if (known) return limit(...known);
  if ((clients?.synRetransmits ?? 0) > 0)
    return limit(
      "accept queue",
      "--backlog of serve, sysctl net.core.somaxconn",
      describeDrops(measured),
    );
  if (serverIsWrong(measured, plan)) return limit("the server", SEE_EVIDENCE);
  if (apart || isOwnLag(measured, sloMs))
    return limit(
      CLIENT,
      "another machine for the clients, or more processors",
      `its own lag p99 ${showDuration(clients?.lagMs.p99 ?? 0)}; ${all}`,
    );
  if (busiestShare >= BUSY_SHARE)
    return limit(
      "CPU",
      "more processors",
      `processors ${percent(busiestShare)} busy, ${percent(otherShare)} before it began; ${all}`,
    );
  return limit("latency", "--slo");
}

/** Name and setting of the limit behind a failure, by the text of the client's error. */
function causeOfFailure({ detail }: LoadFailures): [string, string] | undefined {
  if (/Cannot assign requested address|Address already in use/.test(detail))
    return ["ephemeral ports", "sysctl net.ipv4.ip_local_port_range"];
  if (/Too many open files/.test(detail)) return ["descriptors", "ulimit -n, sysctl fs.file-max"];
  if (/No buffer space|Cannot allocate memory/.test(detail))
    return ["memory for sockets", "sysctl net.ipv4.tcp_mem"];
  if (/error unavailable/.test(detail)) return ["log", "the disk that holds TMPDIR"];
  return undefined;
}

/**
 * Whether the server is at fault, however busy the machine was: a reply was wrong or missing, the
 * books do not balance, or the log lacks requests that all clients had in flight together.
 */
function serverIsWrong(measured: Measured, plan: TrialPlan): boolean {
  const { clients, log } = measured;
  if (!clients || !log) return false;
  const { failures, lost, incomplete, verified, togetherMs } = clients;
  if (problemsOfBooks(measured).length > 0) return true;
  if (failures.length > 0) return failures.some(({ kind }) => !LATE.includes(kind));
  if (!isAtOnce(plan) || lost.length > 0) return false;
  const wereTogether = incomplete.length === 0 && togetherMs > 0;
  return verified !== plan.clients || (wereTogether && !isFull(log, plan));
}

/** Whether the client's own lag is most of the latency, and the rest is within --slo. */
function isOwnLag({ clients }: Measured, sloMs: number): boolean {
  if (!clients) return false;
  const { lagMs, beyondMs } = clients;
  return lagMs.p99 > OWN_SHARE * beyondMs.p99 && beyondMs.p99 - lagMs.p99 <= sloMs;
}

function describeDrops({ queueDrops, listenOverflows, listenDrops, clients }: Measured): string {
  const seen = [
    clients?.synRetransmits ? `${plural(clients.synRetransmits, "SYN")} sent again` : "",
    queueDrops ? `${showCount(queueDrops)} dropped by its socket` : "",
    listenOverflows ? `ListenOverflows +${showCount(listenOverflows)}` : "",
    listenDrops ? `ListenDrops +${showCount(listenDrops)}` : "",
  ];
  return seen.filter((text) => text !== "").join(", ");
}

const percent = (share: number) => `${Math.round(share * 100)}%`;
