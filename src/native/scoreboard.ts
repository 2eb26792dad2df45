/**
 * The shared memory of a server (native/core/shm/scoreboard.hpp). The front creates and writes it. A
 * reader opens it by its name, and asks the server for nothing; each of its methods reads anew, and throws
 * a SystemError, EPROTO, if the segment is no longer one. shm_overview(7).
 */
import { ORDERS, type Order } from "../base/enumerations";
import { addon } from "./addon";
import { headerOf, type NativeHeader, type PoolBounds, type ScoreboardHeader } from "./header";
import type { Log } from "./log";
import { type Slot, slotOf } from "./slot";

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
  /** Acknowledgements wait until the log's reader was given the record. */
  readonly spooled: boolean;
  /** A process for each request, and not for each connection. */
  readonly perRequest: boolean;
  readonly graceMs: number;
  readonly log: string;
  readonly release: string;
}

interface NativeScoreboard {
  readonly fd: number;
  header(): NativeHeader;
  snapshot(into: Float64Array): void;
  total(): number;
  publishUtcOffset(): string;
  setUsers(names: readonly string[]): void;
  setAnswer(order: number, ok: boolean, text: string): void;
  orderLog(): number;
  abandonLog(): void;
  setLogNumber(number: number): void;
  closeTornHeads(log: number): void;
  setReady(): void;
  copySpool(spool: number, reader: number, ms: number): number;
  setStopping(): void;
  releaseGuard(): void;
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

export class Scoreboard {
  private readonly native: NativeScoreboard;
  /** As many as there are slots, once they have been asked for. */
  private rows: Float64Array | undefined;

  /** Opens the segment, or creates it if there are options. Throws a SystemError. */
  constructor(name: string, create?: ScoreboardOptions) {
    this.native = new (native())(name, create);
  }

  /** Removes a segment whose server is gone; returns false if it runs or is another user's. */
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
    return headerOf(this.native.header());
  }

  /** Copies all slots in one call. */
  snapshot(): Slot[] {
    const width = native().columns;
    this.rows ??= new Float64Array(this.native.header().slots * width);
    const { rows } = this;
    this.native.snapshot(rows);
    return Array.from({ length: rows.length / width }, (_, i) =>
      slotOf(rows.subarray(i * width, (i + 1) * width)),
    );
  }

  /** Counts the slots in the state "working", in one snapshot. */
  countWorking(): number {
    return this.snapshot().filter(({ state }) => state === "working").length;
  }

  /** Requests counted, over all slots. */
  total(): number {
    return this.native.total();
  }

  /** Front, at the start: the offset from UTC of the times in the log, which it records: `+01:00`. */
  publishUtcOffset(): string {
    return this.native.publishUtcOffset();
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

  /** Front: the present log is dead; requests are refused until there is another. */
  abandonLog(): void {
    this.native.abandonLog();
  }

  /** Front: sets the number behind the name of the log. */
  setLogNumber(number: number): void {
    this.native.setLogNumber(number);
  }

  /** Front, at the end: closes records that a full disk cut and whose writers are gone. */
  closeTornHeads(log: Log): void {
    this.native.closeTornHeads(log.fd);
  }

  /** Front: all first children have waited for clients. */
  setReady(): void {
    this.native.setReady();
  }

  /**
   * Front, at the end: copies the rest of the spool, until the reader takes nothing for so long.
   * Returns how many bytes are left.
   */
  copySpool({ fd, reader }: Log, patienceMs: number): number {
    return this.native.copySpool(fd, reader, patienceMs);
  }

  /** Front: the server was ordered to stop. */
  setStopping(): void {
    this.native.setStopping();
  }

  /** Front, when it has removed the segment: an orphan that guards it may leave. */
  releaseGuard(): void {
    this.native.releaseGuard();
  }

  /** Front, after its supervisor died: frees a slot. */
  vacate(slot: number): void {
    this.native.vacate(slot);
  }

  /** Front, when every slot is free: counts each child whose end is not counted yet as orphaned. */
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
