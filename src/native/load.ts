/**
 * The load engine (native/core/load). Each thread of a client drives a {@link LoadEngine}. All of them
 * count into one {@link InFlight}, which the main thread creates and the others find by its id.
 */
import type { FailureKind } from "../base/enumerations";
import { addon } from "./addon";

export interface LoadOptions {
  readonly addresses: readonly string[];
  /** The numeric address to connect from; empty: the kernel chooses. */
  readonly from: string;
  readonly port: number;
  readonly clients: number;
  /** The number of the engine's first client. */
  readonly firstNumber: number;
  /** Of each client; 0: as many as the duration allows. */
  readonly requests: number;
  readonly durationMs: number;
  /** Time between the first connects of two clients. */
  readonly rampStepMs: number;
  /** First connects that may wait for a greeting at a time; 0: all. */
  readonly window: number;
  /** Time between two intended sends of a client; 0: closed loop. */
  readonly intervalMs: number;
  readonly connectTimeoutMs: number;
  readonly replyTimeoutMs: number;
  readonly barrier: boolean;
  /** Each request has a connection of its own. */
  readonly reconnect: boolean;
  /** Each reply has a pid of its own; otherwise it has that of the greeting. */
  readonly pidByReply: boolean;
  /** Templates: `{pid}` is taken from the greeting, `{n}` is the request's number, `{{` a brace. */
  readonly greeting: string;
  readonly request: string;
  readonly reply: string;
  /** How the line begins that a refused client gets. */
  readonly refusal: string;
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

export interface LoadFailures {
  readonly kind: FailureKind;
  readonly count: number;
  /** 0: the failure is of no client. */
  readonly firstClient: number;
  readonly detail: string;
}

/** The measurements of the last step, in microseconds. */
export interface LoadSamples {
  readonly connect: Float64Array;
  readonly reply: Float64Array;
  readonly lag: Float64Array;
}

/** Sends of the open loop that fell due and were not made. */
export interface OverdueSends {
  readonly count: number;
  /** Of some of them, spread evenly, in microseconds: the wait since it fell due... */
  readonly waited: Float64Array;
  /** ...and the part of it for which the client itself was stalled. */
  readonly lag: Float64Array;
}

export interface InFlightPeak {
  /** The most requests in flight at one instant. */
  readonly requests: number;
  /** Distinct processes of the server that served them. */
  readonly pids: number;
  /** Distinct processes that greeted a client, over the whole run. */
  readonly greeters: number;
  /** pids of the first of them. */
  readonly firstGreeters: readonly number[];
  /** The longest time at the peak: its beginning, since 1970, and its length. */
  readonly fromMs: number;
  readonly heldMs: number;
}

interface NativeInFlight {
  readonly id: number;
  peak(): InFlightPeak;
}

interface NativeLoadEngine {
  readonly address: string;
  step(milliseconds: number): boolean;
  end(): OverdueSends;
  release(): void;
  counts(): LoadCounts;
  failures(): LoadFailures[];
  samples(): LoadSamples;
}

interface LoadAddon {
  readonly InFlight: new () => NativeInFlight;
  readonly LoadEngine: new (options: LoadOptions, inFlight: number) => NativeLoadEngine;
}

export class InFlight {
  private readonly native = new (addon<LoadAddon>().InFlight)();

  get id(): number {
    return this.native.id;
  }

  peak(): InFlightPeak {
    return this.native.peak();
  }
}

export class LoadEngine {
  private readonly native: NativeLoadEngine;

  /** `inFlight` is the id of an {@link InFlight} of this process. */
  constructor(options: LoadOptions, inFlight: number) {
    this.native = new (addon<LoadAddon>().LoadEngine)(options, inFlight);
  }

  /** The address of the server that answered last. */
  get address(): string {
    return this.native.address;
  }

  /** Works for about so many milliseconds; returns true when all is done. */
  step(milliseconds: number): boolean {
    return this.native.step(milliseconds);
  }

  /** To be called once, after the last step: counts what is overdue as failed. */
  end(): OverdueSends {
    return this.native.end();
  }

  /** Opens the barrier: every client that was greeted sends. */
  release(): void {
    this.native.release();
  }

  counts(): LoadCounts {
    return this.native.counts();
  }

  /** One entry for each kind that has happened. */
  failures(): LoadFailures[] {
    return this.native.failures();
  }

  samples(): LoadSamples {
    return this.native.samples();
  }
}
