/**
 * The shared memory of a server (native/core/shm), with names in place of the indices that native
 * code gives. Its front creates and writes it; a reader opens it by its name, and asks the server
 * for nothing. shm_overview(7).
 */
import {
  CAUSES,
  type Cause,
  GROWTH_LIMITS,
  type GrowthLimit,
  ORDERS,
  type Order,
  REFUSALS,
  type Refusal,
  STATES,
  type State,
} from "../base/enumerations";
import { addon } from "./addon";
import type { Log } from "./log";

export interface PoolBounds {
  readonly start: number;
  readonly minSpare: number;
  readonly maxSpare: number;
  readonly max: number;
}

export interface ScoreboardHeader {
  readonly front: number;
  readonly supervisor: number;
  /** pid; 0 when there is none. */
  readonly forker: number;
  /** The version of kilofork: "0.1.0". */
  readonly release: string;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  /** A path, or `-`. */
  readonly log: string;
  readonly limits: PoolBounds;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly ageMs: number;
  /** Grows with each order to replace the children. */
  readonly childEpoch: number;
  /** Grows when the log is reopened. */
  readonly logEpoch: number;
  /** The errno value of the last record that a child wrote; 0 when it was written. */
  readonly logError: number;
  /** Ends of children whose records could not be written yet. */
  readonly pendingEnds: number;
  /** The epoch of the log that every child writes to. */
  readonly logSettled: number;
  readonly growthLimit: GrowthLimit;
  /** Full: the pool has its maximum of children, and each has a client. */
  readonly full: {
    readonly times: number;
    readonly nowMs: number | null;
    readonly totalMs: number;
  };
  /** Children since the server began, by cause. */
  readonly forked: Readonly<Record<Cause, number>>;
  readonly ended: Readonly<Record<Cause, number>>;
  /** The epoch of the newest log, which children write to, or are about to. */
  readonly logOrdered: number;
  /** The number behind the name of the log; 0: none. */
  readonly logNumber: number;
  /** The sync of the log has failed, and no other log is open yet. */
  readonly logDead: boolean;
  readonly sync: SyncFigures;
  /** The server was ordered to stop. */
  readonly stopping: boolean;
  /** Requests that the stop did not wait for. */
  readonly aborted: number;
  /** The PID namespace of all pids. */
  readonly pidNamespace: number;
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

export interface Answer {
  readonly count: number;
  readonly ok: boolean;
  readonly text: string;
}

export interface ScoreboardOptions {
  /** Maximum number of user names. */
  readonly users: number;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  readonly limits: PoolBounds;
  /** Acknowledgements wait for a sync. */
  readonly synced: boolean;
  readonly log: string;
  readonly release: string;
}

interface NativeHeader
  extends Omit<
    ScoreboardHeader,
    "limits" | "growthLimit" | "full" | "forked" | "ended" | "answers" | "sync"
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
  readonly syncer: number;
  readonly syncs: number;
  readonly syncsAskedFor: number;
  readonly lastSyncMs: number;
  readonly syncError: number;
}

interface NativeScoreboard {
  readonly fd: number;
  header(): NativeHeader;
  snapshot(into: Float64Array): void;
  total(): number;
  setUsers(names: readonly string[]): void;
  setAnswer(order: number, ok: boolean, text: string): void;
  orderLog(): number;
  setLogNumber(number: number): void;
  closeTornHeads(log: number): void;
  setStopping(): void;
  vacate(slot: number): void;
  countOrphans(): void;
  addPendingEnds(by: number): void;
  close(): void;
}

interface ScoreboardAddon {
  readonly Scoreboard: {
    readonly columns: number;
    new (name: string, create?: ScoreboardOptions): NativeScoreboard;
    sweep(name: string): boolean;
    lives(name: string): boolean;
    pidNamespace(): number;
    remove(name: string): void;
  };
}

const native = () => addon<ScoreboardAddon>().Scoreboard;

/** One child's place in shared memory, at one instant. */
export interface Slot {
  readonly pid: number;
  readonly state: State;
  /** Time in that state, to a few milliseconds. */
  readonly stateMs: number;
  /** Of all children that ever had the slot. */
  readonly total: number;
  readonly connections: number;
  readonly childEpoch: number;
  readonly logEpoch: number;
  /** Requests of all its children that were completed, but could not be acknowledged. */
  readonly retracted: number;
  readonly refused: Readonly<Record<Refusal, number>>;
}

/** Removes control characters: the owner of a segment must not control a reader's terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "?");
}

/** The shared memory of a server: its front creates it, readers of the same user open it. */
export class Scoreboard {
  private readonly native: NativeScoreboard;
  private readonly rows: Float64Array;

  constructor(name: string, create?: ScoreboardOptions) {
    this.native = new (native())(name, create);
    this.rows = new Float64Array(this.native.header().slots * native().columns);
  }

  /** Removes a segment whose server is gone; false when it runs, or belongs to another user. */
  static sweep(name: string): boolean {
    return native().sweep(name);
  }

  /** The PID namespace of this process. */
  static pidNamespace(): number {
    return native().pidNamespace();
  }

  /** Whether a process of its server is alive. */
  static lives(name: string): boolean {
    return native().lives(name);
  }

  static remove(name: string): void {
    native().remove(name);
  }

  get fd(): number {
    return this.native.fd;
  }

  header(): ScoreboardHeader {
    const { start, minSpare, maxSpare, slots, ...others } = this.native.header();
    const { fullTimes, fullNowMs, fullBeforeMs, answers, ...figures } = others;
    const { synced, syncer, syncs, syncsAskedFor, lastSyncMs, syncError, ...rest } = figures;
    const byCause = (counts: readonly number[]) =>
      Object.fromEntries(CAUSES.map((cause, i) => [cause, counts[i] ?? 0])) as Record<
        Cause,
        number
      >;
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

  /** All slots, copied in one go. */
  snapshot(): Slot[] {
    this.native.snapshot(this.rows);
    const width = native().columns;
    return Array.from({ length: this.rows.length / width }, (_, i) => {
      const row = this.rows.subarray(i * width, (i + 1) * width);
      const [pid = 0, state = 0, stateMs = 0, total = 0, connections = 0, ...rest] = row;
      const [childEpoch = 0, logEpoch = 0, retracted = 0, ...refused] = rest;
      return {
        pid,
        state: STATES[state] ?? "vacant",
        stateMs,
        total,
        connections,
        childEpoch,
        logEpoch,
        retracted,
        refused: Object.fromEntries(
          REFUSALS.map((refusal, k) => [refusal, refused[k] ?? 0]),
        ) as Record<Refusal, number>,
      };
    });
  }

  /** Requests counted, over all slots. */
  total(): number {
    return this.native.total();
  }

  /** Front: replaces the table of users. */
  setUsers(names: readonly string[]): void {
    this.native.setUsers(names);
  }

  /** Front: answers an order. */
  setAnswer(order: Order, ok: boolean, text: string): void {
    this.native.setAnswer(ORDERS.indexOf(order), ok, text);
  }

  /** Front: begins a log epoch; returns it, for the order to the supervisor. */
  orderLog(): number {
    return this.native.orderLog();
  }

  /** Front: sets the number behind the name of the log. */
  setLogNumber(number: number): void {
    this.native.setLogNumber(number);
  }

  /** Front, at the end: closes records that a full disk cut and whose writers are gone. */
  closeTornHeads(log: Log): void {
    this.native.closeTornHeads(log.fd);
  }

  /** Front: the server was ordered to stop. */
  setStopping(): void {
    this.native.setStopping();
  }

  /** Front, after its supervisor died: frees a slot. */
  vacate(slot: number): void {
    this.native.vacate(slot);
  }

  /** Front, when every slot is free: counts children without a counted end as died. */
  countOrphans(): void {
    this.native.countOrphans();
  }

  /** Front: adds to the number of pending end records. */
  addPendingEnds(by: number): void {
    this.native.addPendingEnds(by);
  }

  close(): void {
    this.native.close();
  }
}
