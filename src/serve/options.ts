/** What `kilofork serve` was asked to do. Times in milliseconds. */

export type Work =
  | { readonly kind: "none" }
  | { readonly kind: "sleep" | "spin"; readonly durationMs: number };

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly children: number;
  readonly work: Work;
  /** A path, or `-` for standard output. */
  readonly log: string;
  readonly usersFile: string | undefined;
  readonly maxLine: number;
  readonly idleTimeoutMs: number;
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly backlog: number;
  readonly reportEveryMs: number;
  readonly graceMs: number;
  readonly pidFile: string | undefined;
  /** Stop when standard input ends: with whoever started the server. */
  readonly stopAtEof: boolean;
}
