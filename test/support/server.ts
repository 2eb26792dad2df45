/** Starts a server in a temporary folder, on a port that the system chooses. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AuditResult, audit } from "../../src/audit/audit";
import type { Refusal } from "../../src/base/enumerations";
import { sum } from "../../src/base/numbers";
import type { ClientResult } from "../../src/client/load";
import { type StartedServer, startServer } from "../../src/harness/server";
import type { Scoreboard } from "../../src/native/scoreboard";
import type { Slot } from "../../src/native/slot";
import { openScoreboardOf } from "../../src/status/servers";
import { processes, temporaryFolder } from "./cleanup";
import { type Ended, processPer, run } from "./command";
import { hasEnded } from "./processes";
import { RawClient } from "./socket";
import { until } from "./wait";

/** The front of a server, like a command. */
class Front {
  constructor(private readonly started: StartedServer) {}

  get pid(): number {
    return this.started.pid;
  }

  get hasEnded(): boolean {
    return hasEnded(this.started.process);
  }

  get stdout(): string {
    return textOf(this.started.stdout);
  }

  get stderr(): string {
    return textOf(this.started.stderr);
  }

  closeInput(): void {
    this.started.process.stdin?.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.started.kill(signal);
  }

  async end(): Promise<Ended> {
    const { code, signal } = await this.started.ended;
    return { code, signal, stdout: this.stdout, stderr: this.stderr };
  }
}

const textOf = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");

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
    readonly command: Front,
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
    const started = await startServer({
      ...{ work, log: join(folder, "server.log"), via },
      args: [...poolArgs(children, pool), "--process-per", processPer, ...args],
      env: { TZ: "UTC", ...processes.environment, ...env },
    });
    processes.add(started.pid);
    // Its banner and its first message were written before, but may be read after.
    await until(
      "its banner and first message are read",
      () => started.stdout.length * started.stderr.length > 0,
    );
    const command = new Front(started);
    return new Server(command, folder, started.port, pool?.start ?? children);
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

  /** 0 with a process for each connection. */
  get keeper(): number {
    return this.scoreboard.header().keeper?.pid ?? 0;
  }

  /** By the children, and by the keeper. */
  refused(refusal: Refusal): number {
    const { keeper } = this.scoreboard.header();
    return sum(this.slots().map((slot) => slot.refused[refusal])) + (keeper?.refused[refusal] ?? 0);
  }

  /** Clients with a request in work each: with work that takes long enough, each occupies a child. */
  async occupy(count: number): Promise<RawClient[]> {
    const working = this.count("working");
    const clients = await Promise.all(
      Array.from({ length: count }, () => RawClient.greeted(this.port)),
    );
    for (const client of clients) client.send("arijort:occupies a child\n");
    await until(`${count} children work`, () => this.count("working") >= working + count);
    return clients;
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
    return audit({ logs: [this.log], clients: client ? [client] : [], atLeast: 0, all: false });
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
