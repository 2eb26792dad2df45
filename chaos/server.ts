/** One run of the server: from its banner until the last of its processes has left. */
import type { ChildProcess } from "node:child_process";
import { type Cause, isDeath, REFUSALS, type Refusal } from "../src/base/enumerations";
import { Scoreboard, type Slot } from "../src/native/scoreboard";
import { listSegments } from "../src/native/segments";
import { openScoreboardOf } from "../src/status/servers";
import { type Harness, until } from "./harness";

export const MOST_CHILDREN = 200;
const STARTS_WITHIN_MS = 20_000;
/** What is stopped goes on after 2 s, the grace is 2 s, and orphans get 3 s. */
const LEAVES_WITHIN_MS = 10_000;

const SETTINGS = [
  ...["--pool", "dynamic", "--start-children", "20", "--max-children", String(MOST_CHILDREN)],
  ...["--min-spare", "5", "--max-spare", "20", "--shrink-after", "1s"],
  ...["--max-requests", "300", "--max-requests-jitter", "100"],
  ...[
    "--ack",
    "synced",
    "--work",
    "sleep:5ms",
    "--grace",
    "2s",
    "--report-every",
    "500ms",
    "--stop-at-eof",
  ],
];

/** What the shared memory says when all have left. */
export interface Balance {
  readonly counted: number;
  /** Those, too, whose end nobody was left to see. */
  readonly died: number;
  readonly refused: Readonly<Record<Refusal, number>>;
}

export class Server {
  private constructor(
    private readonly harness: Harness,
    private readonly process: ChildProcess,
    private readonly board: Scoreboard,
  ) {}

  static async start(harness: Harness, port: number): Promise<Server> {
    harness.archiveLogs();
    const where = ["127.0.0.1", String(port), "--log", harness.log, "--users", harness.usersFile];
    const process = harness.spawn(["serve", ...where, ...SETTINGS]);
    let said = "";
    process.stdout?.on("data", (data) => (said += data));
    const isUp = () => said.includes("Running with");
    await until(() => isUp() || process.exitCode !== null, STARTS_WITHIN_MS);
    if (!isUp()) throw new Error("the server does not start: see server.err");
    return new Server(harness, process, openScoreboardOf(process.pid ?? 0));
  }

  get front(): number {
    return this.process.pid ?? 0;
  }

  get supervisor(): number {
    return this.board.header().supervisor;
  }

  get syncer(): number {
    return this.board.header().sync.syncer;
  }

  get forker(): number {
    return this.board.header().forker;
  }

  get frontHasEnded(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  children(): number[] {
    return this.slots().map(({ pid }) => pid);
  }

  private slots(): Slot[] {
    return this.board.snapshot().filter(({ state }) => state !== "vacant");
  }

  /** False: some process did not leave by itself. */
  async hasLeft(): Promise<boolean> {
    // A process that has ended may still hold its descriptors, and the lock with them.
    const isGone = () => this.harness.processes().length === 0 && !this.isLocked();
    return until(isGone, LEAVES_WITHIN_MS);
  }

  /** An orderly stop; how it ended. */
  async stop(): Promise<string> {
    this.harness.signal(this.front, "SIGTERM");
    await until(() => this.frontHasEnded, LEAVES_WITHIN_MS);
    return this.process.signalCode ?? `exit ${this.process.exitCode}`;
  }

  /** Of a server that is gone, its shared memory is still mapped here. */
  balance(): Balance {
    const deaths = Object.entries(this.board.header().ended)
      .filter(([cause]) => isDeath(cause as Cause))
      .map(([, count]) => count);
    const refused = Object.fromEntries(
      REFUSALS.map((code) => [code, sum(this.board.snapshot().map((slot) => slot.refused[code]))]),
    ) as Record<Refusal, number>;
    return { counted: this.board.total(), died: sum(deaths) + this.slots().length, refused };
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

export const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);
