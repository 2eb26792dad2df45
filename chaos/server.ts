/** One run of the server, from its start until the last of its processes has ended. */
import { type Cause, isDeath, REFUSALS, type Refusal } from "../src/base/enumerations";
import { sum } from "../src/base/numbers";
import type { ProcessPer } from "../src/base/protocol";
import type { StartedServer } from "../src/harness/server";
import { Scoreboard } from "../src/native/scoreboard";
import { listSegments } from "../src/native/segments";
import type { Slot } from "../src/native/slot";
import { openScoreboardOf } from "../src/status/servers";
import { hasEnded } from "../test/support/processes";
import { within } from "../test/support/wait";
import type { Harness } from "./harness";

export const MOST_CHILDREN = 200;
/** A stopped process continues after 2 s, the grace is 2 s, and orphans get 3 s. */
const LEAVES_WITHIN_MS = 10_000;

const SETTINGS = [
  ...["--pool", "dynamic", "--start-children", "20", "--max-children", String(MOST_CHILDREN)],
  ...["--min-spare", "5", "--max-spare", "20", "--shrink-after", "1s"],
  ...["--max-requests", "300", "--max-requests-jitter", "100"],
  ...["--grace", "2s", "--report-every", "500ms"],
];

/** The servers follow each other in turn. A pipe cannot be synced, and only requests without work come in batches. */
export interface Mode {
  readonly piped: boolean;
  readonly processPer: ProcessPer;
  readonly args: readonly string[];
}
const WORK = ["--work", "sleep:5ms"];
const MODES: readonly Mode[] = [
  { piped: false, processPer: "connection", args: [...WORK, "--ack", "synced"] },
  { piped: true, processPer: "request", args: WORK },
  { piped: false, processPer: "request", args: ["--work", "none"] },
  { piped: true, processPer: "connection", args: WORK },
  { piped: false, processPer: "request", args: [...WORK, "--ack", "synced"] },
];
export const modeOfRun = (run: number) => MODES[run % MODES.length] as Mode;

/** What the shared memory says when all processes have ended. */
export interface Balance {
  readonly counted: number;
  /** Children that died, and those that no supervisor was left to reap. */
  readonly died: number;
  /** Requests that were completed and not acknowledged. */
  readonly retracted: number;
  readonly refused: Readonly<Record<Refusal, number>>;
}

export class Server {
  private constructor(
    private readonly harness: Harness,
    private readonly started: StartedServer,
    private readonly board: Scoreboard,
  ) {}

  static async start(harness: Harness, port: number, mode: Mode): Promise<Server> {
    harness.archiveLogs();
    const users = ["--users", harness.usersFile];
    const args = [...users, ...SETTINGS, "--process-per", mode.processPer, ...mode.args];
    const started = await harness.start(port, mode.piped, args);
    return new Server(harness, started, openScoreboardOf(started.pid));
  }

  get front(): number {
    return this.started.pid;
  }

  get supervisor(): number {
    return this.board.header().supervisor;
  }

  /** Or its log writer. */
  get syncer(): number {
    return this.board.header().sync.syncer;
  }

  get forker(): number {
    return this.board.header().forker;
  }

  /** 0 with a process for each connection. */
  get keeper(): number {
    return this.board.header().keeper?.pid ?? 0;
  }

  get frontHasEnded(): boolean {
    return hasEnded(this.started.process);
  }

  children(): number[] {
    return this.slots().map(({ pid }) => pid);
  }

  /** Those that have a request or, with a keeper, a batch of them. */
  busyChildren(): number[] {
    return this.slots()
      .filter(({ state }) => !["starting", "idle", "stopping"].includes(state))
      .map(({ pid }) => pid);
  }

  private slots(): Slot[] {
    return this.board.snapshot().filter(({ state }) => state !== "vacant");
  }

  /** Resolves when all processes have ended; false if one did not in time. */
  async hasLeft(): Promise<boolean> {
    // A process that ends loses its descriptors, and the lock with them, a moment after its name.
    const isGone = () => this.harness.processes().length === 0 && !this.isLocked();
    return (await within(LEAVES_WITHIN_MS, isGone)) ?? false;
  }

  /** Stops the server by SIGTERM; returns how the front ended. */
  async stop(): Promise<string> {
    this.harness.signal(this.front, "SIGTERM");
    await within(LEAVES_WITHIN_MS, () => this.frontHasEnded);
    const { exitCode, signalCode } = this.started.process;
    return signalCode ?? `exit ${exitCode}`;
  }

  /** Readable after the end of the server: this process still maps the shared memory. */
  balance(): Balance {
    const deaths = Object.entries(this.board.header().ended)
      .filter(([cause]) => isDeath(cause as Cause))
      .map(([, count]) => count);
    const all = this.board.snapshot();
    const { keeper } = this.board.header();
    const refused = Object.fromEntries(
      REFUSALS.map((code) => [
        code,
        sum(all.map((slot) => slot.refused[code])) + (keeper?.refused[code] ?? 0),
      ]),
    ) as Record<Refusal, number>;
    return {
      ...{ counted: this.board.total(), died: sum(deaths) + this.slots().length },
      ...{ retracted: sum(all.map((slot) => slot.retracted)), refused },
    };
  }

  hasSharedMemory(): boolean {
    return this.segment() !== undefined;
  }

  private segment(): string | undefined {
    return listSegments().find((name) => name.startsWith(`/kilofork-${this.front}-`));
  }

  private isLocked(): boolean {
    const segment = this.segment();
    return segment !== undefined && Scoreboard.lives(segment);
  }
}
