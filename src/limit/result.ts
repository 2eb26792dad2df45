/** The options of a search for the breaking point, and its result. */
import type { ProcessPer } from "../base/protocol";
import type { Bound } from "./bounds";
import type { Limit } from "./judge";
import type { Trial } from "./trial";

export interface LimitOptions {
  readonly find: "clients" | "rate";
  readonly processPer: ProcessPer;
  readonly maxClients: number | undefined;
  /** Connections on which the rate is searched. */
  readonly connections: number;
  readonly sloMs: number;
  readonly holdMs: number;
  /** 0 to 1. */
  readonly maxMemoryShare: number;
  readonly repeats: number;
  readonly sweep: boolean;
  readonly json: boolean;
  readonly html: string | undefined;
}

/** The result, as `--json` gives it. */
export interface LimitResult {
  readonly kind: "limit";
  readonly schema: 1;
  /** The search was completed, a load held, and the client was not the bottleneck. */
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly find: "clients" | "rate";
  readonly processPer: ProcessPer;
  /** The largest number of clients that held; null if the rate was searched. */
  readonly clients: number | null;
  /** The largest rate that held, in requests a second; null if clients were searched. */
  readonly rate: number | null;
  /** False if it was interrupted: then `clients` or `rate` is a lower bound. */
  readonly complete: boolean;
  readonly firstLimit: Limit | null;
  readonly secondLimit: Limit | null;
  /** Reasons to doubt the figures. */
  readonly notes: readonly string[];
  /** The limits of the machine before the search, the smallest first. */
  readonly bounds: readonly Bound[];
  readonly sloMs: number;
  readonly repeats: number;
  readonly machine: {
    readonly cpus: number;
    readonly model: string;
    readonly memoryBytes: number;
    readonly system: string;
  };
  readonly trials: readonly Trial[];
}
