/**
 * The table of a server's settings. It defines the options of `kilofork serve`, the defaults and
 * ranges of ServeOptions, and the lines that the supervisor gets before `start`. The names of these
 * lines are also in native/core/supervisor/settings.cpp.
 */
import {
  DEFAULT_MAX_LINE,
  DEFAULT_USERS,
  GREETING,
  PROCESS_PER,
  type ProcessPer,
  REPLY,
  refusalLines,
} from "../base/protocol";
import { MOST_CHILDREN, MOST_REQUESTS } from "../base/ranges";
import { parseCount, parseDuration } from "../base/units";
import { DEFAULT_LOG } from "../log/names";
import { BYTES_PER_CHILD, DEFAULT_BACKLOG, MEMORY_RESERVE } from "../machine/capacity";
import { parseRunAs } from "./run-as";
import { parseWork, type Work } from "./work";

type Unit = "count" | "bytes" | "duration" | "choice" | "text" | "work" | "user";

export interface Setting<Value> {
  /** As commander reads them: `--grace <D>`. */
  readonly flags: string;
  readonly help: string;
  readonly unit: Unit;
  readonly default: Value;
  /** The default as it is written on the command line; undefined: there is none to show. */
  readonly defaultText: string | undefined;
  /** Throws ERR_ARGUMENT. */
  readonly parse: (text: string) => Value;
  readonly choices?: readonly string[];
  /** Of counts and bytes. */
  readonly range?: { readonly min: number; readonly max: number };
  /** The kind of pool that has it; undefined: both. */
  readonly pool?: Pool;
  /** The name of its line on the control channel, if it has one. */
  readonly channel?: string;
}

export type Pool = "static" | "dynamic";
/** What a reply promises: its record is in the file, or on disk. */
export type Ack = "written" | "synced";

type More = Pick<Setting<unknown>, "pool" | "channel">;

const LONGEST_BACKLOG = 2 ** 31 - 1;

/** In the order of --help. A key has the unit in its name. */
export const SETTINGS = {
  pool: choice(
    "--pool <kind>",
    "size of the pool: static, always --children; dynamic, as many children as the load needs",
    ["static", "dynamic"],
  ) as Setting<Pool>,
  processPer: choice(
    "--process-per <what>",
    "what has a process of its own: each connection, until it ends; or each request, so that connections may outnumber children",
    PROCESS_PER,
    { channel: "process-per" },
  ) as Setting<ProcessPer>,
  children: count("--children <n>", "number of children (static)", 1000, 1, MOST_CHILDREN, {
    pool: "static",
  }),
  startChildren: count(
    "--start-children <n>",
    "number of children at the start (dynamic)",
    5,
    1,
    MOST_CHILDREN,
    { pool: "dynamic", channel: "start-children" },
  ),
  minSpare: count(
    "--min-spare <n>",
    "minimum number of idle children (dynamic)",
    5,
    1,
    MOST_CHILDREN,
    { pool: "dynamic", channel: "min-spare" },
  ),
  maxSpare: count(
    "--max-spare <n>",
    "maximum number of idle children, once --shrink-after has passed (dynamic)",
    10,
    1,
    MOST_CHILDREN,
    { pool: "dynamic", channel: "max-spare" },
  ),
  maxChildren: count(
    "--max-children <n>",
    "maximum number of children (dynamic)",
    1000,
    1,
    MOST_CHILDREN,
    { pool: "dynamic", channel: "max-children" },
  ),
  shrinkAfterMs: duration(
    "--shrink-after <D>",
    "time that a child beyond --max-spare is kept without being needed (dynamic)",
    "10s",
    { pool: "dynamic", channel: "shrink-after" },
  ),
  maxRequests: count(
    "--max-requests <n>",
    "requests after which a child is replaced; 0: no limit",
    0,
    0,
    MOST_REQUESTS,
    { channel: "max-requests" },
  ),
  maxRequestsJitter: count(
    "--max-requests-jitter <n>",
    "maximum of a random number that each child adds to --max-requests, so that not all are replaced together",
    0,
    0,
    MOST_REQUESTS,
    { channel: "max-requests-jitter" },
  ),
  maxConnectionsPerAddress: count(
    "--max-connections-per-address <n>",
    "maximum number of connections from one address; further clients get error busy; 0: no limit",
    0,
    0,
    MOST_CHILDREN,
    { channel: "max-per-address" },
  ),
  work: {
    flags: "--work <kind>",
    help: "work for each request: none, sleep:D, or spin:D (D of processor time)",
    unit: "work",
    default: parseWork("sleep:3s"),
    defaultText: "sleep:3s",
    parse: parseWork,
    channel: "work",
  } as Setting<Work>,
  workTimeoutMs: duration(
    "--work-timeout <D>",
    "time limit of the work, after which its child is killed; 0: no limit",
    "0",
    { channel: "work-timeout" },
  ),
  log: {
    flags: "--log <file>",
    help: "append-only log; -: standard output",
    unit: "text",
    default: DEFAULT_LOG,
    defaultText: DEFAULT_LOG,
    parse: (text) => text,
  } as Setting<string>,
  ack: choice(
    "--ack <when>",
    "what a reply promises: written, its record is in the file; synced, its record is on disk",
    ["written", "synced"],
    { channel: "ack" },
  ) as Setting<Ack>,
  spawnLog: file(
    "--spawn-log <file>",
    "file for one line of JSON for each fork, retirement and end of a child",
  ),
  usersFile: file(
    "--users <file>",
    `file with the names of the users, one a line (default: ${DEFAULT_USERS.join(" and ")})`,
  ),
  maxLine: count(
    "--max-line <bytes>",
    "maximum length of a request, newline included",
    DEFAULT_MAX_LINE,
    64,
    65536,
    { channel: "max-line" },
  ),
  idleTimeoutMs: duration(
    "--idle-timeout <D>",
    "time limit for the first byte of a request; 0: no limit",
    "60s",
    { channel: "idle-timeout" },
  ),
  readTimeoutMs: duration(
    "--read-timeout <D>",
    "time limit from the first byte of a request to its newline; 0: no limit",
    "10s",
    { channel: "read-timeout" },
  ),
  writeTimeoutMs: duration(
    "--write-timeout <D>",
    "time limit for a client to read a reply; 0: no limit",
    "10s",
    { channel: "write-timeout" },
  ),
  backlog: {
    ...count(
      "--backlog <n>",
      `length of the accept queue, at most net.core.somaxconn (default: ${DEFAULT_BACKLOG}, or net.core.somaxconn if that is less)`,
      DEFAULT_BACKLOG,
      1,
      LONGEST_BACKLOG,
    ),
    default: undefined,
    defaultText: undefined,
  } as Setting<number | undefined>,
  reportEveryMs: duration(
    "--report-every <D>",
    "interval at which the log records the total of requests; 0: only at the end",
    "2s",
  ),
  graceMs: duration("--grace <D>", "time for requests in work to finish after a stop", "10s", {
    channel: "grace",
  }),
  runAs: {
    flags: "--run-as <user[:group]>",
    help: "user of the supervisor and the children, once socket and log are open",
    unit: "user",
    default: undefined,
    defaultText: undefined,
    parse: parseRunAs,
  } as Setting<{ readonly uid: number; readonly gid: number } | undefined>,
};

type Table = typeof SETTINGS;
/** A value for each setting. Times are in milliseconds. */
export type Settings = {
  readonly [Key in keyof Table]: Table[Key] extends Setting<infer Value> ? Value : never;
};
export type SettingKey = keyof Table;

/** Lines on the control channel that have no option, and their values. */
const FIXED = {
  /** Time for a refused client to read why. */
  "linger-timeout": nanoseconds(1000),
  "bytes-per-child": BYTES_PER_CHILD,
  "memory-reserve": MEMORY_RESERVE,
  /** Time to wait after a child died before it could accept; doubled each time, up to the longest. */
  "first-back-off": nanoseconds(100),
  "longest-back-off": nanoseconds(5000),
  greeting: GREETING,
  reply: REPLY,
} as const;

/**
 * Returns all lines that the supervisor gets before `start`. `logEpoch`: of the log that it gets.
 * `isSpooled`: that log has a spool, and replies wait until their records are copied from it.
 */
export function settingLines(settings: Settings, logEpoch: number, isSpooled = false): string[] {
  const lines = Object.entries(FIXED).map(([name, value]) => `${name} ${value}`);
  for (const key of Object.keys(SETTINGS) as SettingKey[]) {
    const { channel } = SETTINGS[key];
    const isCopied = key === "ack" && isSpooled;
    const value = isCopied ? "copied" : valueOnChannel(key, settings);
    if (channel !== undefined) lines.push(`${channel} ${value}`);
  }
  for (const [code, line] of Object.entries(refusalLines(settings.maxLine)))
    lines.push(`refusal ${code} ${line}`);
  lines.push(`log-epoch ${logEpoch}`);
  return lines;
}

function valueOnChannel(key: SettingKey, settings: Settings): string {
  const { unit } = SETTINGS[key];
  const value = settings[key];
  if (unit === "duration") return String(nanoseconds(value as number));
  if (unit !== "work") return String(value);
  const work = value as Work;
  return work.kind === "none" ? "none" : `${work.kind} ${nanoseconds(work.durationMs)}`;
}

function nanoseconds(ms: number): number {
  return Math.round(ms * 1e6);
}

function count(
  flags: string,
  help: string,
  value: number,
  min: number,
  max: number,
  more: More = {},
): Setting<number> {
  const name = /^--(\S+)/.exec(flags)?.[1] ?? "";
  const range = { min, max };
  return {
    ...{ flags, help, unit: flags.includes("<bytes>") ? "bytes" : "count", range, ...more },
    ...{ default: value, defaultText: String(value) },
    parse: (text) => parseCount(text, name, range),
  };
}

function duration(flags: string, help: string, text: string, more: More = {}): Setting<number> {
  return {
    ...{ flags, help, unit: "duration", ...more },
    ...{ default: parseDuration(text), defaultText: text, parse: parseDuration },
  };
}

/** The first of the choices is the default. */
function choice(
  flags: string,
  help: string,
  choices: readonly [string, ...string[]],
  more: More = {},
): Setting<string> {
  const [first] = choices;
  return {
    ...{ flags, help, unit: "choice", choices, ...more },
    ...{ default: first, defaultText: first, parse: (text) => text },
  };
}

/** A path, which may be missing. */
function file(flags: string, help: string): Setting<string | undefined> {
  return {
    ...{ flags, help, unit: "text" },
    ...{ default: undefined, defaultText: undefined, parse: (text) => text },
  };
}
