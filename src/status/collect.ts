/**
 * Collects the figures of `kilofork status` from the shared memory, proc(5) and sock_diag(7). The
 * server takes no part: it may be stopped.
 */
import { statSync } from "node:fs";
import { whereIs } from "../base/address";
import { CAUSES, isDeath, REFUSALS, STATES } from "../base/enumerations";
import { isSystemError } from "../base/errors";
import { sum } from "../base/numbers";
import { numberedLog } from "../log/names";
import { hasOpen } from "../machine/files";
import { lifeOf, memoryOfChildren } from "../machine/process";
import type { PoolBounds, ScoreboardHeader } from "../native/header";
import type { Scoreboard } from "../native/scoreboard";
import type { Slot } from "../native/slot";
import { type ListenQueue, listenQueue } from "../native/sockets";
import type { Server } from "./servers";
import { type Figures, isBusy, type KeeperStatus, LETTERS, type Rate } from "./status";

export interface Collected {
  readonly figures: Figures;
  readonly header: ScoreboardHeader;
  /** Why the accept queue could not be read; undefined if it was. */
  readonly queueError: string | undefined;
}

/** Measures the rate of requests between two readings. */
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

export function collect(server: Server, rate: Rate): Collected {
  const { header, slots, ended } = readBoard(server.scoreboard);
  const children = slots.filter(({ state }) => state !== "vacant");
  const front = { pid: header.front, life: lifeOf(header.front) };
  const supervisor = { pid: header.supervisor, life: lifeOf(header.supervisor) };
  const turns = sum(slots.map(({ connections }) => connections));
  const keeper = keeperOf(header, children, turns);
  const { queue, queueError } = askForQueue(header);
  const path = header.log === "-" ? "-" : numberedLog(header.log, header.logNumber);
  const log = {
    path,
    // Of the supervisor, only root may read it; the front has the same file open.
    inPlace: isOpenIn(header.supervisor, path) ?? isOpenIn(header.front, path),
    takenBack: sum(slots.map(({ retracted }) => retracted)),
    sync: header.sync,
    reader: header.reader,
  };
  const forked = sum(Object.values(header.forked));
  const died = sum(CAUSES.filter(isDeath).map((cause) => header.ended[cause]));
  const figures: Figures = {
    release: header.release,
    host: header.host,
    address: header.address,
    port: header.port,
    owner: server.owner,
    startedMs: header.startedMs,
    upMs: header.ageMs,
    front,
    supervisor,
    keeper,
    limits: {
      pool: isDynamic(header.limits) ? "dynamic" : "static",
      ...header.limits,
      backlog: header.backlog,
    },
    brake: header.growthLimit,
    full: header.full,
    queue,
    ...rate,
    oldestRequest: oldestRequest(children),
    requests: sum(slots.map(({ total }) => total)),
    connections: header.keeper?.accepted ?? turns,
    refused: countBy(
      REFUSALS,
      (refusal) =>
        sum(slots.map(({ refused }) => refused[refusal])) + (header.keeper?.refused[refusal] ?? 0),
    ),
    slotsByState: countBy(STATES, (wanted) => slots.filter(({ state }) => state === wanted).length),
    children: {
      alive: forked - ended,
      forked,
      retired: ended - died,
      died,
      forkedByCause: header.forked,
      endedByCause: header.ended,
      ofOlderGeneration: children.filter(({ childEpoch }) => childEpoch !== header.childEpoch)
        .length,
      onOlderLog: children.filter(({ logEpoch }) => logEpoch !== header.logEpoch).length,
    },
    log,
    memory: memoryOfChildren(children.map(({ pid }) => pid)),
    slots: slots.map(({ state }) => LETTERS[state]).join(""),
  };
  return { figures, header, queueError };
}

/**
 * Reads header and slots until both agree on the number of children: they cannot be read in one step.
 * After TRIES readings it takes the last.
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

/** The same rule as PoolBounds::is_dynamic() in native/core. */
function isDynamic({ start, maxSpare, max }: PoolBounds): boolean {
  return start < max || maxSpare < max;
}

/** `turns`: of all children; with a process for each connection, these are the connections. */
function keeperOf(
  { keeper }: ScoreboardHeader,
  children: readonly Slot[],
  turns: number,
): KeeperStatus | null {
  if (!keeper) return null;
  const { pid, connections: held, ready } = keeper;
  const life = pid > 0 ? lifeOf(pid) : "gone";
  return { pid, life, held, ready, inWork: children.filter(isBusy).length, turns };
}

function oldestRequest(children: readonly Slot[]): Figures["oldestRequest"] {
  const [first, ...others] = children.filter(
    ({ state }) => state === "working" || state === "syncing" || state === "replying",
  );
  if (!first) return null;
  const oldest = others.reduce((old, next) => (next.stateMs > old.stateMs ? next : old), first);
  return { pid: oldest.pid, ageMs: oldest.stateMs };
}

function askForQueue(
  header: ScoreboardHeader,
): Pick<Collected, "queueError"> & { queue: ListenQueue | null } {
  try {
    const queue = listenQueue(header.address, header.port);
    const missing = `no socket listens on ${whereIs(header)} in this network namespace`;
    return { queue, queueError: queue ? undefined : missing };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return { queue: null, queueError: error.message };
  }
}

/** Whether a process has the file at that path open; null if that cannot be read. */
function isOpenIn(pid: number, path: string): boolean | null {
  if (path === "-") return null;
  try {
    return hasOpen(pid, statSync(path, { throwIfNoEntry: false }));
  } catch {
    return null;
  }
}

function countBy<Name extends string>(names: readonly Name[], count: (name: Name) => number) {
  return Object.fromEntries(names.map((name) => [name, count(name)])) as Record<Name, number>;
}
