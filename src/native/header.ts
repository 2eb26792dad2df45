/** The header of a server's shared memory (native/core/shm/header.hpp). */
import {
  CAUSES,
  type Cause,
  GROWTH_LIMITS,
  type GrowthLimit,
  ORDERS,
  type Order,
  type Refusal,
} from "../base/enumerations";
import { printable } from "../base/printable";
import { byRefusal } from "./slot";

export interface PoolBounds {
  readonly start: number;
  readonly minSpare: number;
  readonly maxSpare: number;
  readonly max: number;
}

export interface ScoreboardHeader {
  // pids; of forker, 0 when there is none.
  readonly front: number;
  readonly supervisor: number;
  readonly forker: number;
  /** The PID namespace of all pids. */
  readonly pidNamespace: number;
  /** The version of kilofork: "0.1.0". */
  readonly release: string;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  readonly limits: PoolBounds;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly ageMs: number;
  /** Of a stop. */
  readonly graceMs: number;
  /** All first children have waited for clients; before, the server is starting. */
  readonly ready: boolean;
  /** The server was ordered to stop. */
  readonly stopping: boolean;
  /** Requests that the stop did not wait for. */
  readonly aborted: number;

  /** Grows with each order to replace the children. */
  readonly childEpoch: number;
  readonly growthLimit: GrowthLimit;
  /** Full: the pool has its maximum of children, and each has a client. */
  readonly full: {
    readonly times: number;
    /** Null when it is not full. */
    readonly nowMs: number | null;
    readonly totalMs: number;
  };
  /** Children since the server began, by cause. */
  readonly forked: Readonly<Record<Cause, number>>;
  readonly ended: Readonly<Record<Cause, number>>;
  /** Ends of children whose records could not be written yet. */
  readonly pendingEnds: number;

  /** A path, or `-`. */
  readonly log: string;
  /** The number behind the name of the log; 0: none. */
  readonly logNumber: number;
  // Epochs of the log; docs/architecture.md, "The positions of the log".
  /** Of the newest log: children are ordered to take it. */
  readonly logOrdered: number;
  /** Of the log that children may take. */
  readonly logEpoch: number;
  /** Every child writes to this log, or a newer one. */
  readonly logSettled: number;
  /** A sync of the log has failed, and no other log is open yet. */
  readonly logDead: boolean;
  /** The errno value of the last record that a child wrote; 0 when it was written. */
  readonly logError: number;
  /** An errno value: accept(2) of a child failed last time. 0: it succeeded. */
  readonly acceptError: number;
  readonly sync: SyncFigures;
  /** Of a log that is no file; null: it is a file. */
  readonly reader: ReaderFigures | null;
  /** null: a process for each connection. */
  readonly keeper: KeeperFigures | null;

  /** The answer to the last order of each kind; its count grows with each. */
  readonly answers: Readonly<Record<Order, Answer>>;
}

/** Syncs of the log, which acknowledgements can wait for. */
export interface SyncFigures {
  /** Acknowledgements wait for a sync. */
  readonly acknowledges: boolean;
  /** pid; 0 when there is none. */
  readonly syncer: number;
  readonly syncs: number;
  /** Requests that have waited for a sync. */
  readonly requests: number;
  readonly lastMs: number;
  /** The errno value of the last sync that failed; 0 for none. */
  readonly error: number;
}

/** Of a server with a process for each request: the process that holds the connections. */
export interface KeeperFigures {
  /** 0: none runs. */
  readonly pid: number;
  /** Open ones. */
  readonly connections: number;
  /** Have sent something, and wait for a child. */
  readonly ready: number;
  /** Since the server began. */
  readonly accepted: number;
  /** By the keeper itself. */
  readonly refused: Readonly<Record<Refusal, number>>;
}

/** The reader of a log that is a pipe, a socket or a terminal. */
export interface ReaderFigures {
  /** For how long it has taken nothing of what waits; null: it takes what is there. */
  readonly stalledMs: number | null;
  readonly waitingBytes: number;
}

export interface Answer {
  readonly count: number;
  readonly ok: boolean;
  readonly text: string;
}

/** As the addon gives it. */
export interface NativeHeader
  extends Omit<
    ScoreboardHeader,
    | "limits"
    | "growthLimit"
    | "full"
    | "forked"
    | "ended"
    | "answers"
    | "sync"
    | "reader"
    | "keeper"
  > {
  readonly slots: number;
  readonly start: number;
  readonly minSpare: number;
  readonly maxSpare: number;
  readonly growthLimit: number;
  readonly fullTimes: number;
  /** -1 when it is not full. */
  readonly fullNowMs: number;
  readonly fullBeforeMs: number;
  readonly forked: readonly number[];
  readonly ended: readonly number[];
  readonly answers: readonly Answer[];
  readonly synced: boolean;
  readonly spooled: boolean;
  readonly keeper:
    | (Omit<KeeperFigures, "refused"> & { readonly refused: readonly number[] })
    | null;
  /** -1: the reader does not stall. */
  readonly stalledMs: number;
  readonly waitingBytes: number;
  readonly syncer: number;
  readonly syncs: number;
  readonly syncsAskedFor: number;
  readonly lastSyncMs: number;
  readonly syncError: number;
}

/** Gives names to the indices of native code. */
export function headerOf(native: NativeHeader): ScoreboardHeader {
  const { start, minSpare, maxSpare, slots, ...others } = native;
  const { fullTimes, fullNowMs, fullBeforeMs, answers, ...figures } = others;
  const { synced, syncer, syncs, syncsAskedFor, lastSyncMs, syncError, ...more } = figures;
  const { spooled, stalledMs, waitingBytes, ...rest } = more;
  const byCause = (counts: readonly number[]) =>
    Object.fromEntries(CAUSES.map((cause, i) => [cause, counts[i] ?? 0])) as Record<Cause, number>;
  const { release, host, address, log } = rest;
  return {
    ...rest,
    release: printable(release),
    host: printable(host),
    address: printable(address),
    log: printable(log),
    limits: { start, minSpare, maxSpare, max: slots },
    sync: {
      ...{ acknowledges: synced, syncer, syncs, requests: syncsAskedFor },
      ...{ lastMs: lastSyncMs, error: syncError },
    },
    reader: spooled ? { stalledMs: stalledMs < 0 ? null : stalledMs, waitingBytes } : null,
    keeper: rest.keeper && { ...rest.keeper, refused: byRefusal(rest.keeper.refused) },
    growthLimit: GROWTH_LIMITS[rest.growthLimit] ?? "none",
    full: {
      times: fullTimes,
      nowMs: fullNowMs < 0 ? null : fullNowMs,
      totalMs: fullBeforeMs + Math.max(fullNowMs, 0),
    },
    forked: byCause(rest.forked),
    ended: byCause(rest.ended),
    answers: Object.fromEntries(
      ORDERS.map((order, i) => {
        const { count = 0, ok = false, text = "" } = answers[i] ?? {};
        return [order, { count, ok, text: printable(text) }];
      }),
    ) as Record<Order, Answer>,
  };
}
