/**
 * All that `kilofork status` says, as one object. It comes from the shared memory, from proc(5) and
 * from sock_diag(7): nothing is asked of the server, which may be stopped.
 */
import { readFileSync, statSync } from "node:fs";
import {
  CAUSES,
  type Cause,
  type GrowthLimit,
  isDeath,
  REFUSALS,
  type Refusal,
  STATES,
  type State,
} from "../base/enumerations";
import { isSystemError, nameOfErrno } from "../base/errors";
import { showCount } from "../base/units";
import type {
  PoolBounds,
  Scoreboard,
  ScoreboardHeader,
  Slot,
  SyncFigures,
} from "../native/scoreboard";
import { type ListenQueue, listenQueue } from "../native/sockets";
import { numberedLog } from "../serve/log-files";
import { hasOpen, type Server, whereIs } from "./servers";

/** One slot, as mod_status of Apache httpd writes it. */
export const LETTERS: Readonly<Record<State, string>> = {
  idle: "_",
  starting: "S",
  reading: "R",
  working: "W",
  syncing: "D",
  replying: ">",
  stopping: "G",
  vacant: ".",
};

export type Life = "running" | "stopped" | "gone";

export interface Rate {
  readonly requestsPerSecond: number;
  /** How long was counted. */
  readonly sampleMs: number;
}

/** What --json prints. */
export interface Status extends Rate {
  readonly kind: "status";
  readonly schema: 1;
  /** There are no problems. */
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly release: string;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly owner: string;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly upMs: number;
  readonly front: { readonly pid: number; readonly life: Life };
  readonly supervisor: { readonly pid: number; readonly life: Life };
  readonly limits: PoolBounds & { readonly pool: "static" | "dynamic"; readonly backlog: number };
  /** What keeps the pool from growing. */
  readonly brake: GrowthLimit;
  /** Each child that there may be has a client. */
  readonly full: ScoreboardHeader["full"];
  /** Null: the kernel does not tell; `problems` says why. */
  readonly queue: ListenQueue | null;
  readonly requests: number;
  readonly connections: number;
  readonly refused: Readonly<Record<Refusal, number>>;
  /** The one that has been working, syncing or replying for the longest time. */
  readonly oldestRequest: { readonly pid: number; readonly ageMs: number } | null;
  readonly slotsByState: Readonly<Record<State, number>>;
  readonly children: {
    /** forked - retired - died */
    readonly alive: number;
    readonly forked: number;
    readonly retired: number;
    readonly died: number;
    readonly forkedByCause: Readonly<Record<Cause, number>>;
    readonly endedByCause: Readonly<Record<Cause, number>>;
    /** Still to be replaced. */
    readonly ofOlderGeneration: number;
    readonly onOlderLog: number;
  };
  readonly log: {
    readonly path: string;
    /** Whether the path leads to the file that is written to; null: that cannot be told. */
    readonly inPlace: boolean | null;
    /** Requests that were completed, but whose sync failed: they were not acknowledged. */
    readonly takenBack: number;
    readonly sync: SyncFigures;
  };
  /** Private memory and page tables, from some of the children; null: it cannot be read. */
  readonly memory: {
    readonly bytesPerChild: number;
    readonly bytesOfChildren: number;
    readonly childrenRead: number;
  } | null;
  /** A letter for each slot, see {@link LETTERS}. */
  readonly slots: string;
}

/** Requests a second, from one reading to the next. */
export class RequestMeter {
  private total: number;
  private at = performance.now();

  constructor(private readonly scoreboard: Scoreboard) {
    this.total = scoreboard.total();
  }

  read(): Rate {
    const before = { total: this.total, at: this.at };
    this.total = this.scoreboard.total();
    this.at = performance.now();
    const sampleMs = this.at - before.at;
    return { requestsPerSecond: ((this.total - before.total) / sampleMs) * 1000, sampleMs };
  }
}

export function readStatus(server: Server, rate: Rate): Status {
  const { header, slots, ended } = readBoard(server.scoreboard);
  const there = slots.filter(({ state }) => state !== "vacant");
  const front = { pid: header.front, life: lifeOf(header.front) };
  const supervisor = { pid: header.supervisor, life: lifeOf(header.supervisor) };
  const { queue, trouble } = askForQueue(header);
  const path = header.log === "-" ? "-" : numberedLog(header.log, header.logNumber);
  const log = {
    path,
    inPlace: isOpenIn(header.supervisor, path),
    takenBack: sum(slots.map(({ retracted }) => retracted)),
    sync: header.sync,
  };
  const forked = sum(Object.values(header.forked));
  const died = sum(CAUSES.filter(isDeath).map((cause) => header.ended[cause]));
  const problems = [
    ...frontProblems(front),
    ...supervisorProblems(supervisor),
    ...growthProblems(header),
    ...(queue && queue.waiting > queue.limit
      ? ["the queue is full: whoever connects now is dropped, and tries again after a second"]
      : []),
    ...(trouble ? [trouble] : []),
    ...(header.logError !== 0
      ? [
          `the log cannot be written: ${nameOfErrno(header.logError)}; clients get "error unavailable"`,
        ]
      : []),
    ...syncProblems(header),
    ...(log.inPlace === false
      ? [
          `the log was renamed or removed, and is written to all the same: kilofork ctl reopen ${header.port}`,
        ]
      : []),
  ];
  return {
    kind: "status",
    schema: 1,
    ok: problems.length === 0,
    problems,
    release: header.release,
    host: header.host,
    address: header.address,
    port: header.port,
    owner: server.owner,
    startedMs: header.startedMs,
    upMs: header.ageMs,
    front,
    supervisor,
    limits: {
      pool: isDynamic(header.limits) ? "dynamic" : "static",
      ...header.limits,
      backlog: header.backlog,
    },
    brake: header.growthLimit,
    full: header.full,
    queue,
    ...rate,
    oldestRequest: oldestRequest(there),
    requests: sum(slots.map(({ total }) => total)),
    connections: sum(slots.map(({ connections }) => connections)),
    refused: countBy(REFUSALS, (refusal) => sum(slots.map(({ refused }) => refused[refusal]))),
    slotsByState: countBy(STATES, (wanted) => slots.filter(({ state }) => state === wanted).length),
    children: {
      alive: forked - ended,
      forked,
      retired: ended - died,
      died,
      forkedByCause: header.forked,
      endedByCause: header.ended,
      ofOlderGeneration: there.filter(({ childEpoch }) => childEpoch !== header.childEpoch).length,
      onOlderLog: there.filter(({ logEpoch }) => logEpoch !== header.logEpoch).length,
    },
    log,
    memory: readMemory(there),
    slots: slots.map(({ state }) => LETTERS[state]).join(""),
  };
}

/**
 * Header and slots are not read in one go. While children come and go, tries again for a pair that
 * agrees; one that never does is as good as it gets.
 */
function readBoard(scoreboard: Scoreboard) {
  const TRIES = 20;
  for (let tries = 1; ; tries++) {
    const header = scoreboard.header();
    const slots = scoreboard.snapshot();
    const ended = sum(Object.values(header.ended));
    const alive = slots.filter(({ state }) => state !== "vacant").length;
    if (sum(Object.values(header.forked)) - ended === alive || tries === TRIES)
      return { header, slots, ended };
  }
}

/** As PoolBounds::is_dynamic() in native/core/sizing.hpp. */
function isDynamic({ start, maxSpare, max }: PoolBounds): boolean {
  return start < max || maxSpare < max;
}

function oldestRequest(children: readonly Slot[]): Status["oldestRequest"] {
  const [first, ...others] = children.filter(
    ({ state }) => state === "working" || state === "syncing" || state === "replying",
  );
  if (!first) return null;
  const oldest = others.reduce((old, next) => (next.stateMs > old.stateMs ? next : old), first);
  return { pid: oldest.pid, ageMs: oldest.stateMs };
}

function askForQueue(header: ScoreboardHeader): { queue: ListenQueue | null; trouble?: string } {
  try {
    const queue = listenQueue(header.address, header.port);
    if (queue) return { queue };
    return {
      queue,
      trouble: `the queue cannot be seen: nobody listens on ${whereIs(header)} in this network namespace`,
    };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { queue: null, trouble: `the queue cannot be seen: ${error.message}` };
  }
}

// ---- what is wrong ------------------------------------------------------------------------------

function frontProblems({ pid, life }: Status["front"]): string[] {
  if (life === "running") return [];
  return life === "stopped"
    ? [`the front (pid ${pid}) is stopped: clients are served, but orders have to wait`]
    : [`the front (pid ${pid}) is gone: the server is ending`];
}

function supervisorProblems({ pid, life }: Status["supervisor"]): string[] {
  if (life === "running") return [];
  return life === "stopped"
    ? [`the supervisor (pid ${pid}) is stopped: no child is forked`]
    : ["the supervisor is gone, and its children with it; the front starts another"];
}

function syncProblems({ logDead, logNumber, sync }: ScoreboardHeader): string[] {
  if (logDead)
    return [
      `the log is given up since a sync failed, and there is no other; clients get "error unavailable"`,
    ];
  if (sync.acknowledges && sync.syncer === 0) return ["there is no syncer: replies have to wait"];
  return logNumber > 0 ? ["an earlier file of the log was given up since its sync failed"] : [];
}

function growthProblems({ growthLimit, limits }: ScoreboardHeader): string[] {
  const reasons: Readonly<Record<GrowthLimit, string>> = {
    none: "",
    maximum: `its maximum: all ${showCount(limits.max)} children have a client, and clients wait`,
    memory: "memory: too little is left for the children that are needed",
    processes: "the limits on processes: fork failed, and is tried again",
    births: "deaths at birth: the last child died before it could accept",
  };
  return growthLimit === "none" ? [] : [`held back by ${reasons[growthLimit]}`];
}

// ---- proc(5) ------------------------------------------------------------------------------------

function lifeOf(pid: number): Life {
  const stat = readText(`/proc/${pid}/stat`);
  const state = stat.charAt(stat.lastIndexOf(")") + 2);
  if (/[Tt]/.test(state)) return "stopped";
  return /[^ZXx]/.test(state) ? "running" : "gone";
}

/** Whether a process has the file open that the path leads to now. Null: not for us to see. */
function isOpenIn(pid: number, path: string): boolean | null {
  if (path === "-") return null;
  try {
    return hasOpen(pid, statSync(path, { throwIfNoEntry: false }));
  } catch {
    return null;
  }
}

/** Reading one child costs some 0.2 ms. */
const MEMORY_OF = 100;

/** Not RssAnon: half of that is shared with the supervisor, as it was at the fork. */
function readMemory(children: readonly Slot[]): Status["memory"] {
  const step = Math.max(1, children.length / MEMORY_OF);
  const some = Array.from(
    { length: Math.min(children.length, MEMORY_OF) },
    (_, i) => children[Math.floor(i * step)]?.pid ?? 0,
  );
  const sizes = some.flatMap((pid) => {
    const [, pages] =
      /^Private_Dirty:\s+(\d+) kB/m.exec(readText(`/proc/${pid}/smaps_rollup`)) ?? [];
    const [, tables] = /^VmPTE:\s+(\d+) kB/m.exec(readText(`/proc/${pid}/status`)) ?? [];
    return pages && tables ? [(Number(pages) + Number(tables)) * 1024] : [];
  });
  if (sizes.length === 0) return null;
  const bytesPerChild = sum(sizes) / sizes.length;
  return {
    bytesPerChild,
    bytesOfChildren: bytesPerChild * children.length,
    childrenRead: sizes.length,
  };
}

/** Nothing: the process has gone, or is not ours to see. */
function readText(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

// -------------------------------------------------------------------------------------------------

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function countBy<Name extends string>(names: readonly Name[], count: (name: Name) => number) {
  return Object.fromEntries(names.map((name) => [name, count(name)])) as Record<Name, number>;
}
