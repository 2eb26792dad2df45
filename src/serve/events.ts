/** What a server tells while it runs: events by name, each with one object of data. */
import type { EventEmitter } from "node:events";
import type { GrowthLimit, Order } from "../base/enumerations";

/** `errno` is a number as in os.constants.errno; times are in milliseconds; `log` is a file's name. */
export interface ServerEvents {
  /** Socket and log are open; no child is there yet. A listener that throws makes the start fail. */
  listening: { readonly address: string; readonly port: number };
  /** The supervisor was built without the filter of system calls. */
  unfiltered: Nothing;
  /** For the first time, all first children wait for clients. */
  ready: Ready;
  /** The same, of the children of another supervisor. */
  "ready-again": { readonly children: number };
  stopping: Nothing;
  /** About to close socket and log, after everything else. */
  closing: Nothing;

  /** Tried again later, unless the server has not been ready yet. */
  "fork-failed": { readonly errno: number; readonly alive: number };
  /** A child died before it could accept: the next is forked after this time. */
  "back-off": { readonly ms: number };
  /** What keeps the pool from growing now. */
  "growth-limit": { readonly limit: GrowthLimit; readonly maxChildren: number };
  /** The supervisor and all its children have ended. Unless `stopping`, another one is started. */
  "supervisor-ended": {
    /** `signal 9`, `exit 1`. */
    readonly how: string;
    /** Children that ended abnormally with it. */
    readonly orphans: number;
    readonly stopping: boolean;
  };
  /** The last child of before the order has left. */
  replaced: Nothing;
  /** An order was carried out, or failed: as in the shared memory, where `kilofork ctl` reads it. */
  answer: { readonly order: Order; readonly ok: boolean; readonly text: string };

  /** Records cannot be written; clients get `error unavailable`. Told once until it is over. */
  "log-failing": { readonly log: string; readonly errno: number };
  "log-recovered": { readonly log: string };
  /** Nothing is written to this file any more: its sync failed (ECANCELED: the syncer died in it). */
  "log-abandoned": { readonly log: string; readonly errno: number };
  /** The log goes on in this file. */
  "log-continued": { readonly log: string };
  /** There is no log, since no other file can be opened. It is tried again. */
  "log-missing": { readonly reason: string };
  /** The file has lost its last name; the log is opened again. */
  "log-removed": { readonly log: string };
  "log-reopened": { readonly log: string };
  "log-kept": { readonly reason: string };
  /** The last child has turned to the reopened log, so long after the order. */
  "log-settled": { readonly ms: number };
}

export interface Ready {
  readonly children: number;
  readonly address: string;
  readonly port: number;
  /** From the start of the supervisor until all children were there. */
  readonly upMs: number;
}

export type Nothing = Readonly<Record<string, never>>;
export type ServerEvent = keyof ServerEvents;
export type Tell = <Event extends ServerEvent>(event: Event, data: ServerEvents[Event]) => void;
export type ServerEmitter = EventEmitter<{ [Event in ServerEvent]: [data: ServerEvents[Event]] }>;
