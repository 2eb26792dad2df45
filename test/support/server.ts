/**
 * Starts a server in a temporary folder, on a port that the system chooses. After each test, a process
 * or shared memory that is left is ended, and fails the test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect } from "vitest";
import { type AuditResult, audit } from "../../src/audit/audit";
import { sum } from "../../src/base/numbers";
import { commandPath } from "../../src/base/paths";
import type { ClientResult } from "../../src/client/load";
import { Scoreboard, type Slot } from "../../src/native/scoreboard";
import { openScoreboardOf } from "../../src/status/servers";
import { TaggedProcesses } from "./processes";
import { until } from "./wait";

export { until };

/** All processes of this test file, with the children of children. */
const processes = new TaggedProcesses("KILOFORK_TEST");
const folders: string[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kilofork-test-"));
  folders.push(folder);
  return folder;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command of kilofork, or another program, started as from a shell. */
export class Command {
  stdout = "";
  stderr = "";
  private readonly child: ChildProcess;
  private readonly ended: Promise<[number | null, NodeJS.Signals | null]>;

  constructor(args: readonly string[], program = process.execPath, env: NodeJS.ProcessEnv = {}) {
    const argv = program === process.execPath ? [commandPath, ...args] : [...args];
    this.child = spawn(program, argv, {
      stdio: ["pipe", "pipe", "pipe"], // its standard input ends with this process
      env: { ...process.env, TZ: "UTC", ...processes.environment, ...env },
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

  /** Closes the reading end of its standard output. */
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
  /** A dynamic pool instead of `children`. */
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
  /** A command that becomes the server by exec, as `setpriv` does. */
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

  /** Resolves when the server is up. */
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
    processes.add(command.pid);
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

  /** Resolves when every child waits for a client. */
  async untilIdle(): Promise<void> {
    await until("all children are idle", () => this.count("idle") === this.children);
  }

  /** Resolves when there is a supervisor other than `before`, and all its children are idle. */
  async untilOtherSupervisor(before: number): Promise<void> {
    await until("another supervisor is there", () => ![0, before].includes(this.supervisor));
    await this.untilIdle();
  }

  records(pattern = /./): string[] {
    return readFileSync(this.log, "utf8")
      .split("\n")
      .filter((line) => pattern.test(line));
  }

  /** Runs `kilofork client --json` against it, and returns the result. */
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

  /** The numbers of children that were forked, have ended, and are alive. */
  tally(): { forked: number; ended: number; alive: number } {
    const { forked, ended } = this.scoreboard.header();
    return {
      forked: sum(Object.values(forked)),
      ended: sum(Object.values(ended)),
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

/** The pids of all that this test file started; `name` chooses by the name of the process. */
export const ourProcesses = (name?: RegExp): number[] => processes.list(name);

export function segmentsOf(front: number): string[] {
  return readdirSync("/dev/shm").filter((name) => name.startsWith(`kilofork-${front}-`));
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended meanwhile
  }
}

afterEach(async () => {
  const settled = () => ourProcesses().length === 0;
  await until("all processes have ended", settled, 5000).catch(() => {});
  const left = ourProcesses();
  for (const pid of left) endProcess(pid);
  await until("the processes left behind have ended", settled);
  const segments = processes.removeFronts().flatMap(segmentsOf);
  for (const name of segments) Scoreboard.sweep(`/${name}`);
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  expect({ left, segments }, "left behind").toEqual({ left: [], segments: [] });
});
