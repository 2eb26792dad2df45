/** What `kilofork serve` was asked to do. Times in milliseconds. */
import { KiloforkError } from "../base/errors";
import type { PoolBounds } from "../native/scoreboard";

export type Work =
  | { readonly kind: "none" }
  | { readonly kind: "sleep" | "spin"; readonly durationMs: number };

/** How many children there are. In a static pool, all at any time. */
export interface PoolOptions extends PoolBounds {
  /** How long a child beyond `maxSpare` must not have been needed before it leaves. */
  readonly shrinkAfterMs: number;
}

export function staticPool(children: number): PoolOptions {
  return { start: children, minSpare: 0, maxSpare: children, max: children, shrinkAfterMs: 0 };
}

/** Refuses what cannot be meant. */
export function dynamicPool(pool: PoolOptions): PoolOptions {
  const { start, minSpare, maxSpare, max } = pool;
  if (minSpare > maxSpare)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--min-spare ${minSpare} is more than --max-spare ${maxSpare}`,
    );
  if (minSpare > max)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--min-spare ${minSpare} is more than --max-children ${max}`,
    );
  if (start > max)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--start-children ${start} is more than --max-children ${max}`,
    );
  return pool;
}

/** What a reply means: the record is in the file, or on disk. */
export type Ack = "written" | "synced";

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly pool: PoolOptions;
  readonly work: Work;
  /** Of the work of one request; 0: none. */
  readonly workTimeoutMs: number;
  /** After so many a child is recycled, or after up to `maxRequestsJitter` more; 0: never. */
  readonly maxRequests: number;
  readonly maxRequestsJitter: number;
  /** 0: no limit. */
  readonly maxConnectionsPerAddress: number;
  /** A path, or `-` for standard output. */
  readonly log: string;
  readonly ack: Ack;
  /** Gets a line of JSON for each fork, retirement and end of a child. */
  readonly spawnLog: string | undefined;
  readonly usersFile: string | undefined;
  readonly maxLine: number;
  readonly idleTimeoutMs: number;
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly backlog: number;
  readonly reportEveryMs: number;
  readonly graceMs: number;
  /** The user of the supervisor and the children; the front stays what it is. */
  readonly runAs: { readonly uid: number; readonly gid: number } | undefined;
  readonly pidFile: string | undefined;
  /** Stop when standard input ends: with whoever started the server. */
  readonly stopAtEof: boolean;
}
