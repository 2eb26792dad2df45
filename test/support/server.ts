/**
 * A server in a process of its own, in a temporary folder, on a port that the system chooses. After
 * each test, whatever it left behind (process, shared memory) is ended and makes the test fail.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect } from "vitest";
import { type AuditResult, audit } from "../../src/audit/audit";
import { commandPath } from "../../src/base/paths";
import type { ClientResult } from "../../src/client/load";
import { Scoreboard, type Slot } from "../../src/native/scoreboard";
import { openScoreboardOf } from "../../src/status/servers";
import { holdsSegmentOf } from "./holders";

/** Marks every process of this test file, children of children included. */
const TAG = `KILOFORK_TEST=${process.pid}-${randomBytes(6).toString("hex")}`;
const [tagName = "", tagValue] = TAG.split("=");

const folders: string[] = [];
const fronts: number[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kilofork-test-"));
  folders.push(folder);
  return folder;
}

/** Waits for a state, not for a time: the limit is only there for what never comes. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  limitMs = 30_000,
): Promise<NonNullable<T>> {
  for (const deadline = Date.now() + limitMs; ; await sleep(10)) {
    const answer = await ask();
    if (answer) return answer as NonNullable<T>;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
  }
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command of ours, started as from a shell. */
export class Command {
  stdout = "";
  stderr = "";
  private readonly child: ChildProcess;
  private readonly ended: Promise<[number | null, NodeJS.Signals | null]>;

  constructor(args: readonly string[], program = process.execPath, env: NodeJS.ProcessEnv = {}) {
    const argv = program === process.execPath ? [commandPath, ...args] : [...args];
    this.child = spawn(program, argv, {
      stdio: ["pipe", "pipe", "pipe"], // its standard input ends with us, however we end
      env: { ...process.env, TZ: "UTC", [tagName]: tagValue, ...env },
    });
    this.child.stdout?.on("data", (data) => (this.stdout += data));
    this.child.stderr?.on("data", (data) => (this.stderr += data));
    this.ended = once(this.child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  closeInput(): void {
    this.child.stdin?.end();
  }

  /** Nobody reads its standard output any more. */
  closeOutput(): void {
    this.child.stdout?.destroy();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async end(): Promise<Ended> {
    const [code, signal] = await this.ended;
    return { code, signal, stdout: this.stdout, stderr: this.stderr };
  }
}

export const run = (...args: string[]): Promise<Ended> => new Command(args).end();

export interface ServerOptions {
  readonly children?: number;
  /** Instead: a pool that breathes. */
  readonly pool?: {
    readonly start: number;
    readonly minSpare: number;
    readonly maxSpare: number;
    readonly max: number;
    readonly shrinkAfter?: string;
  };
  readonly work?: string;
  readonly folder?: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A command that runs it, as `setpriv` does: in the same process. */
  readonly via?: readonly string[];
}

export class Server {
  readonly log: string;
  private board: Scoreboard | undefined;

  private constructor(
    readonly command: Command,
    readonly folder: string,
    readonly port: number,
    private readonly children: number,
  ) {
    this.log = join(folder, "server.log");
  }

  /** Resolves when it says that it runs. */
  static async start(options: ServerOptions = {}): Promise<Server> {
    const {
      children = 10,
      pool,
      work = "none",
      folder = temporaryFolder(),
      args = [],
      env = {},
      via = [],
    } = options;
    const [program = process.execPath, ...before] = [...via, process.execPath];
    const command = new Command(
      [
        ...(via.length > 0 ? [...before, commandPath] : []),
        "serve",
        "127.0.0.1",
        "0",
        ...poolArgs(children, pool),
        ...["--work", work],
        ...["--log", join(folder, "server.log")],
        "--stop-at-eof",
        ...args,
      ],
      program,
      env,
    );
    fronts.push(command.pid);
    const port = await until("the server runs", () => {
      if (command.hasEnded) throw new Error(`the server ended: ${command.stderr}`);
      return /listening on \S+:(\d+);/.exec(command.stderr)?.[1];
    });
    return new Server(command, folder, Number(port), pool?.start ?? children);
  }

  get front(): number {
    return this.command.pid;
  }

  get scoreboard(): Scoreboard {
    this.board ??= openScoreboardOf(this.front);
    return this.board;
  }

  get supervisor(): number {
    return this.scoreboard.header().supervisor;
  }

  slots(): Slot[] {
    return this.scoreboard.snapshot();
  }

  count(...states: Slot["state"][]): number {
    return this.slots().filter(({ state }) => states.includes(state)).length;
  }

  /** Resolves when every child is there and waits for a client. */
  async untilIdle(): Promise<void> {
    await until("all children are idle", () => this.count("idle") === this.children);
  }

  /** Resolves when another supervisor is there than that one, with all its children idle. */
  async untilOtherSupervisor(before: number): Promise<void> {
    await until("another supervisor is there", () => ![0, before].includes(this.supervisor));
    await this.untilIdle();
  }

  records(pattern = /./): string[] {
    return readFileSync(this.log, "utf8")
      .split("\n")
      .filter((line) => pattern.test(line));
  }

  /** Runs the client against it; `--json`, so that the result can be looked into. */
  async client(threads: number, message: string, ...args: string[]): Promise<ClientResult> {
    const { stdout, stderr } = await run(
      ...["client", "127.0.0.1", String(this.port), String(threads), message, "--json", ...args],
    );
    if (stdout === "") throw new Error(`the client said: ${stderr}`);
    return JSON.parse(stdout) as ClientResult;
  }

  audit(client?: ClientResult): AuditResult {
    return audit({ logs: [this.log], client, atLeast: 0, all: false });
  }

  /** Children ever forked, and ended; the rest is alive. */
  tally(): { forked: number; ended: number; alive: number } {
    const sum = (counts: object) =>
      Object.values(counts).reduce((a: number, b: number) => a + b, 0) as number;
    const { forked, ended } = this.scoreboard.header();
    return {
      forked: sum(forked),
      ended: sum(ended),
      alive: this.slots().filter(({ state }) => state !== "vacant").length,
    };
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Ended> {
    this.command.kill(signal);
    return this.command.end();
  }
}

function poolArgs(children: number, pool: ServerOptions["pool"]): string[] {
  if (!pool) return ["--children", String(children)];
  const { start, minSpare, maxSpare, max, shrinkAfter = "10s" } = pool;
  return [
    ...["--pool", "dynamic", "--start-children", String(start), "--max-children", String(max)],
    ...["--min-spare", String(minSpare), "--max-spare", String(maxSpare)],
    ...["--shrink-after", shrinkAfter],
  ];
}

/** Pids of processes that carry our tag, or the segment of a server that does, by name if given. */
export function ourProcesses(name = /./): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== process.pid && isOurs(pid, name));
}

function isOurs(pid: number, wanted: RegExp): boolean {
  try {
    const [, name = "", state] =
      /\((.*)\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
    if (state === "Z" || !wanted.test(name)) return false;
    if (readFileSync(`/proc/${pid}/environ`, "latin1").includes(TAG)) return true;
    return holdsSegmentOf(fronts, pid);
  } catch {
    return false;
  }
}

export function segmentsOf(front: number): string[] {
  return readdirSync("/dev/shm").filter((name) => name.startsWith(`kilofork-${front}-`));
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has just ended by itself
  }
}

afterEach(async () => {
  const settled = () => ourProcesses().length === 0;
  await until("all processes have ended", settled, 5000).catch(() => {});
  const left = ourProcesses();
  for (const pid of left) endProcess(pid);
  await until("the processes left behind have ended", settled);
  const segments = fronts.splice(0).flatMap(segmentsOf);
  for (const name of segments) Scoreboard.sweep(`/${name}`);
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  expect({ left, segments }, "left behind").toEqual({ left: [], segments: [] });
});
