/**
 * The one typed door to native code: the addon. What goes in here
 * has been validated; what comes out of a failed call is a {@link SystemError}.
 */
import { createRequire } from "node:module";
import { addonPath } from "./paths";

/** What the addon throws when a system call failed, e.g. `code: "EADDRINUSE"`. */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
}

export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && typeof (error as SystemError).code === "string";
}

/** What a child is doing, in the order of native/core/scoreboard.hpp. */
export const STATES = [
  "vacant",
  "starting",
  "idle",
  "reading",
  "working",
  "replying",
  "stopping",
] as const;
export type State = (typeof STATES)[number];

/** Why a client was refused, in the order of native/core/protocol.hpp; also the codes on the wire. */
export const REFUSALS = [
  "protocol",
  "unauthorized",
  "too-long",
  "timeout",
  "unavailable",
  "shutting-down",
] as const;
export type Refusal = (typeof REFUSALS)[number];

export interface ScoreboardHeader {
  readonly front: number;
  readonly supervisor: number;
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly slots: number;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly logGeneration: number;
  /** Children, since the server began. */
  readonly forked: number;
  readonly left: number;
  readonly died: number;
}

export interface ScoreboardOptions {
  readonly slots: number;
  /** How many user names there is room for. */
  readonly users: number;
  readonly host: string;
  readonly address: string;
  readonly port: number;
}

interface NativeScoreboard {
  readonly fd: number;
  header(): ScoreboardHeader;
  snapshot(into: Float64Array): void;
  total(): number;
  setUsers(names: readonly string[]): void;
  bury(slot: number): void;
  close(): void;
}

interface NativeLog {
  readonly fd: number;
  append(text: string): boolean;
  close(): void;
}

export interface LoadOptions {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly clients: number;
  /** The number of the engine's first client. */
  readonly firstNumber: number;
  /** Of each client; 0: as many as the duration allows. */
  readonly requests: number;
  readonly durationMs: number;
  readonly rampStepMs: number;
  /** Between two intended sends; 0: closed loop. */
  readonly intervalMs: number;
  readonly connectTimeoutMs: number;
  readonly replyTimeoutMs: number;
  readonly barrier: boolean;
  /** Templates: `{pid}` is taken from the greeting, `{n}` is the request's number, `{{` a brace. */
  readonly greeting: string;
  readonly request: string;
  readonly reply: string;
}

export interface LoadCounts {
  readonly sent: number;
  readonly verified: number;
  readonly failed: number;
  readonly connections: number;
  readonly synRetransmits: number;
  /** Clients that were greeted at least once. */
  readonly greeted: number;
  /** Clients that were greeted or have failed. */
  readonly settled: number;
  /** Milliseconds since 1970, 0 for never. */
  readonly firstConnectMs: number;
  readonly firstSendMs: number;
  readonly lastReplyMs: number;
}

export type FailureKind =
  | "connect"
  | "ungreeted"
  | "greeting"
  | "timeout"
  | "mismatch"
  | "lost"
  | "unsent";

export interface LoadFailures {
  readonly kind: FailureKind;
  readonly count: number;
  readonly firstClient: number;
  readonly detail: string;
}

/** Microseconds. */
export interface LoadSamples {
  readonly connect: Float64Array;
  readonly reply: Float64Array;
  readonly lag: Float64Array;
}

export interface InFlightPeak {
  /** Requests in flight at one instant, … */
  readonly requests: number;
  /** … in so many distinct processes of the server. */
  readonly pids: number;
  /** Distinct processes that greeted a client, over the whole run. */
  readonly greeters: number;
  /** The longest stretch at the peak. */
  readonly fromMs: number;
  readonly heldMs: number;
}

interface NativeInFlight {
  readonly id: number;
  peak(): InFlightPeak;
}

interface NativeLoadEngine {
  readonly address: string;
  /** Works for about so many milliseconds; true when all is done. */
  step(milliseconds: number): boolean;
  release(): void;
  counts(): LoadCounts;
  failures(): LoadFailures[];
  samples(): LoadSamples;
}

interface Addon {
  readonly Scoreboard: {
    readonly columns: number;
    new (name: string, create?: ScoreboardOptions): NativeScoreboard;
    sweep(name: string): boolean;
    remove(name: string): void;
  };
  readonly Log: new (target: string | number) => NativeLog;
  readonly InFlight: new () => NativeInFlight;
  readonly LoadEngine: new (options: LoadOptions, inFlight: number) => NativeLoadEngine;
  listen(options: { address: string; port: number; backlog: number; writeTimeoutMs: number }): {
    fd: number;
    port: number;
  };
  startSupervisor(options: {
    executable: string;
    segmentName: string;
    listener: number;
    log: number;
    segment: number;
  }): { pid: number; control: number; lifeline: number };
  sendControl(fd: number, line: string, passedFd?: number): boolean;
  reap(pid: number): { exit: number } | { signal: number } | null;
  reapStranger(own: number): boolean;
  limits(): { files: number; processes: number };
  parseRequest(line: Uint8Array, ended: boolean): { user: Buffer; message: Buffer } | null;
}

const addon = createRequire(__filename)(addonPath) as Addon;

export const { Log, InFlight, LoadEngine } = addon;
export type Log = NativeLog;
export type InFlight = NativeInFlight;
export type LoadEngine = NativeLoadEngine;
export const { listen, startSupervisor, sendControl, reap, reapStranger, limits, parseRequest } =
  addon;

/** One child's place in shared memory, at one instant. */
export interface Slot {
  readonly pid: number;
  readonly state: State;
  /** How long it has been in that state, to some milliseconds. */
  readonly stateMs: number;
  /** Of all children that ever had the slot. */
  readonly total: number;
  readonly connections: number;
  readonly logGeneration: number;
  readonly refused: Readonly<Record<Refusal, number>>;
}

/** The shared memory of a server: created by its front, or opened by any reader of its owner's. */
export class Scoreboard {
  private readonly native: NativeScoreboard;
  private readonly rows: Float64Array;

  constructor(name: string, create?: ScoreboardOptions) {
    this.native = new addon.Scoreboard(name, create);
    this.rows = new Float64Array(this.native.header().slots * addon.Scoreboard.columns);
  }

  /** Removes a segment whose server is gone; false when it lives, or is somebody else's. */
  static sweep(name: string): boolean {
    return addon.Scoreboard.sweep(name);
  }

  static remove(name: string): void {
    addon.Scoreboard.remove(name);
  }

  get fd(): number {
    return this.native.fd;
  }

  header(): ScoreboardHeader {
    return this.native.header();
  }

  /** All slots, copied in one go. */
  snapshot(): Slot[] {
    this.native.snapshot(this.rows);
    const width = addon.Scoreboard.columns;
    return Array.from({ length: this.rows.length / width }, (_, i) => {
      const [pid, state, stateMs, total, connections, logGeneration, ...refused] =
        this.rows.subarray(i * width, (i + 1) * width) as unknown as [
          number,
          number,
          number,
          number,
          number,
          number,
          ...number[],
        ];
      return {
        pid,
        state: STATES[state] ?? "vacant",
        stateMs,
        total,
        connections,
        logGeneration,
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

  /** Front only. */
  setUsers(names: readonly string[]): void {
    this.native.setUsers(names);
  }

  /** Front only, after its supervisor died: frees a slot and counts its child as died. */
  bury(slot: number): void {
    this.native.bury(slot);
  }

  close(): void {
    this.native.close();
  }
}
