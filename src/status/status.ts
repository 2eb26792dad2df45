/** The result of `kilofork status`: the figures that are collected, and the problems found in them. */
import type { Cause, GrowthLimit, Refusal, State } from "../base/enumerations";
import type { Life, MemoryOfChildren } from "../machine/process";
import type { PoolBounds, ReaderFigures, ScoreboardHeader, SyncFigures } from "../native/header";
import type { ListenQueue } from "../native/sockets";

/** A letter for each state of a slot, like those of mod_status of Apache httpd. */
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

/** A child that is busy has a client. */
export const isBusy = ({ state }: { readonly state: State }): boolean =>
  BUSY_STATES.includes(state);
export const BUSY_STATES: readonly State[] = ["reading", "working", "syncing", "replying"];

export interface Rate {
  readonly requestsPerSecond: number;
  /** The time between the two readings. */
  readonly sampleMs: number;
}

/** The result, as `--json` gives it. */
export interface Status extends Figures {
  readonly kind: "status";
  readonly schema: 1;
  /** There are no problems. */
  readonly ok: boolean;
  readonly problems: readonly string[];
}

/** The process that holds the connections, and what it holds. */
export interface KeeperStatus {
  /** 0: none runs. */
  readonly pid: number;
  readonly life: Life;
  /** Open connections: those that wait for their clients, are ready, or are with a child. */
  readonly held: number;
  /** Connections that have sent something, and wait for a child. */
  readonly ready: number;
  /** Children that are busy. */
  readonly inWork: number;
  /** Times that a child got a connection, since the server began. */
  readonly turns: number;
}

/** What was read. Times are in milliseconds. */
export interface Figures extends Rate {
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
  /** Null with a process for each connection. */
  readonly keeper: KeeperStatus | null;
  readonly limits: PoolBounds & { readonly pool: "static" | "dynamic"; readonly backlog: number };
  /** The growth limit: what keeps the pool from growing. */
  readonly brake: GrowthLimit;
  /** Full: the pool has its maximum of children, and each is busy. */
  readonly full: ScoreboardHeader["full"];
  /** Null if it could not be read; `problems` says why. */
  readonly queue: ListenQueue | null;
  readonly requests: number;
  /** Accepted since the server began. */
  readonly connections: number;
  /** By children and keeper. */
  readonly refused: Readonly<Record<Refusal, number>>;
  /** Of the child that has been working, syncing or replying for the longest time. */
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
    /** Children of an earlier child epoch, still to be replaced. */
    readonly ofOlderGeneration: number;
    readonly onOlderLog: number;
  };
  readonly log: {
    readonly path: string;
    /** Whether the path leads to the file that is written to; null when that cannot be read. */
    readonly inPlace: boolean | null;
    /** Retracted requests: completed but not acknowledged, since their sync failed. */
    readonly takenBack: number;
    readonly sync: SyncFigures;
    /** Of a log that is a pipe, socket or terminal; null: it is a file. */
    readonly reader: ReaderFigures | null;
  };
  /** Private memory and page tables, read from some children; null when it cannot be read. */
  readonly memory: MemoryOfChildren | null;
  /** A letter for each slot, see {@link LETTERS}. */
  readonly slots: string;
}
