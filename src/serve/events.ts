/** The events that a server emits: each has a name and one object of data. */
import type { EventEmitter } from "node:events";
import type { GrowthLimit, Order } from "../base/enumerations";

/** `errno` is a number as in os.constants.errno; times are in milliseconds; `log` is a file's name. */
export interface ServerEvents {
  /** Socket and log are open; no child is there yet. A listener that throws makes the start fail. */
  listening: { readonly address: string; readonly port: number };
  /** The port or the log still belongs to a server that is ending: the start waits for it. */
  waiting: { readonly front: number; readonly withinMs: number };
  /** The host has other addresses, too; the server listens on the first one only. */
  "unserved-addresses": {
    readonly host: string;
    readonly address: string;
    readonly others: readonly string[];
  };
  /** net.core.somaxconn, `backlog`, is less than the default length of the accept queue. */
  "backlog-short": { readonly backlog: number };
  /** The supervisor was built without the filter of system calls. */
  unfiltered: Nothing;
  /** For the first time, all first children wait for clients. */
  ready: Ready;
  /** All first children of another supervisor wait for clients, after the first one died. */
  "ready-again": { readonly children: number };
  stopping: Nothing;
  /** The name of the shared memory was removed while the server runs. Emitted once. */
  "segment-removed": { readonly segment: string };
  /** Everything else has ended; socket and log are closed next. */
  closing: Nothing;
  /** It has stopped, and everything is closed. Not emitted if it could not start or continue. */
  stopped: Ended;

  /**
   * A fork failed; it is tried again. Before `ready`, the start fails instead of this event. `uid`: of
   * the user of the children, if it is not that of the front.
   */
  "fork-failed": {
    readonly errno: number;
    readonly alive: number;
    readonly uid: number | undefined;
  };
  /** A child died before it could accept: the next is forked after this time. */
  "back-off": { readonly ms: number };
  /** The pool's growth limit has changed. */
  "growth-limit": { readonly limit: GrowthLimit; readonly maxChildren: number };
  /** The supervisor and all its children have ended. Unless `stopping`, another one is started. */
  "supervisor-ended": {
    /** `signal 9`, `exit 1`. */
    readonly how: string;
    /** Children that ended abnormally with it. */
    readonly orphans: number;
    readonly stopping: boolean;
  };
  /** An order to replace is done: the last old child has left. */
  replaced: Nothing;
  /** An order was carried out, or failed. `kilofork ctl` reads the same from the shared memory. */
  answer: { readonly order: Order; readonly ok: boolean; readonly text: string };

  /** Children cannot accept clients: they try again. Emitted once until it is over. */
  "accept-failing": { readonly errno: number };
  "accept-recovered": Nothing;

  /** Records cannot be written; clients get `error unavailable`. Emitted once until it is over. */
  "log-failing": { readonly log: string; readonly errno: number };
  "log-recovered": { readonly log: string };
  /** The file is no longer written to: its sync failed (ECANCELED: the syncer died meanwhile). */
  "log-abandoned": { readonly log: string; readonly errno: number };
  /** The log goes on in this file. */
  "log-continued": { readonly log: string };
  /** No other file can be opened, so there is no log. It is tried again. */
  "log-missing": { readonly reason: string };
  /** The file has lost its last name; the log is opened again under its name. */
  "log-removed": { readonly log: string };
  "log-reopened": { readonly log: string };
  /** At the end: the reader of the log did not take its last bytes. */
  "log-unread": { readonly bytes: number };
  /** The last child has taken the reopened log; the time since the order. */
  "log-settled": { readonly ms: number };
}

/** What has stopped a server: a signal, another order, or the end of its log's reader. */
export type StopCause =
  | NodeJS.Signals
  | "program"
  | "hang-up"
  | "end-of-input"
  | "supervisor"
  | "log-reader";

export interface Ended {
  readonly by: StopCause;
  /** All that were counted. */
  readonly requests: number;
  /** Requests that the stop did not wait for. */
  readonly aborted: number;
}

export interface Ready {
  readonly children: number;
  readonly address: string;
  readonly port: number;
  /** From the start of the supervisor until all first children waited for clients. */
  readonly upMs: number;
}

export type Nothing = Readonly<Record<string, never>>;
export type ServerEvent = keyof ServerEvents;
export type Tell = <Event extends ServerEvent>(event: Event, data: ServerEvents[Event]) => void;
export type ServerEmitter = EventEmitter<{ [Event in ServerEvent]: [data: ServerEvents[Event]] }>;
