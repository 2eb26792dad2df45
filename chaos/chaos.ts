/**
 * A run of chaos, from the first start of the server to the verdict. A server that ends is started
 * again on the same port.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { lifeOf, nameOfProcess } from "../src/machine/process";
import { freePort } from "../test/support/port";
import { Random } from "../test/support/random";
import { addUp, judge, type Served, type Verdict } from "./books";
import { CLIENTS, Clients } from "./clients";
import type { Harness } from "./harness";
import { modeOfRun, Server } from "./server";
import { Strikes, type Tally } from "./strikes";

/** The server serves undisturbed for this long before it is stopped. */
const CALM_MS = 1000;

export interface Report extends Verdict {
  readonly kind: "chaos";
  readonly schema: 1;
  readonly ok: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly interrupted: boolean;
  readonly clients: number;
  /** False if this process may not mount a disk to fill. */
  readonly hasDisk: boolean;
  /** How often the server was started. */
  readonly runs: number;
  /** The longest time from a fatal strike, or the order to stop, to the end of the last process. */
  readonly slowestEndMs: number;
  readonly done: Readonly<Record<string, Tally>>;
  /** Counted by the server, by code. */
  readonly refused: Readonly<Record<string, number>>;
}

export class Chaos {
  private readonly began = performance.now();
  private readonly strikes: Strikes;
  private readonly servers: Server[] = [];
  private readonly served: Served[] = [];
  private readonly problems: string[] = [];
  private slowestEndMs = 0;
  private interrupted = false;

  constructor(
    private readonly harness: Harness,
    private readonly seed: number,
    private readonly seconds: number,
  ) {
    this.strikes = new Strikes(harness, new Random(seed), new Random(seed + 1));
  }

  /** Ends the run early, with a verdict. */
  interrupt(): void {
    this.interrupted = true;
  }

  async run(): Promise<Report> {
    // Outside of the range that the kernel gives to clients: the server binds it at each start.
    const random = new Random(process.pid);
    const port = await freePort(() => random.between(20_000, 30_000));
    while (!(await this.runServer(port)));
    if (this.servers.some((server) => server.hasSharedMemory()))
      this.problems.push("shared memory is left");
    for (const name of this.harness.strangeFiles()) this.problems.push(`the file ${name} is left`);
    const verdict = judge(this.harness.logs(), this.served);
    const problems = [...this.problems, ...verdict.problems];
    if (verdict.verified === 0) problems.push("no request was handled");
    return {
      ...{ kind: "chaos", schema: 1, ok: problems.length === 0, seed: this.seed },
      ...{ seconds: this.elapsed(), interrupted: this.interrupted, clients: CLIENTS },
      ...{ hasDisk: this.harness.hasDisk, runs: this.served.length },
      slowestEndMs: this.slowestEndMs,
      done: Object.fromEntries(this.strikes.done),
      refused: addUp(this.served.map(({ balance }) => balance.refused)),
      ...verdict,
      problems,
    };
  }

  /** Starts the server once, until it ends. True if the time is over and it was stopped. */
  private async runServer(port: number): Promise<boolean> {
    const { harness, strikes, served, problems } = this;
    const mode = modeOfRun(served.length);
    const server = await Server.start(harness, port, mode);
    // An orphan that guards it removes it when it has noticed the end of the front.
    const isLeft = () => this.servers.some((earlier) => earlier.hasSharedMemory());
    for (let tries = 0; isLeft() && tries < 40; tries++) await sleep(50);
    if (isLeft())
      problems.push(`run ${served.length}: its shared memory was not swept by the next start`);
    this.servers.push(server);
    const random = new Random(this.seed + served.length);
    const clients = new Clients(port, served.length, random, mode.processPer);
    const why = await strikes.strike(server, () => this.isOver());
    const run = `run ${served.length + 1}`;
    if (why === "ended") problems.push(`${run}: the front ended by itself`);
    if (why === "over") {
      strikes.undoAll();
      await sleep(CALM_MS);
    }
    const struck = performance.now();
    if (why === "over") {
      const how = await server.stop();
      if (!/^exit [01]$/.test(how)) problems.push(`${run}: stopped, it ended with ${how}`);
    }
    if (!(await server.hasLeft())) {
      const left = harness.processes().map((pid) => `${nameOfProcess(pid)} ${lifeOf(pid)}`);
      problems.push(`${run}: left after "${strikes.last}": ${left.join(", ")}`);
    }
    this.slowestEndMs = Math.max(this.slowestEndMs, performance.now() - struck);
    strikes.undoAll(); // the next start needs space
    for (const pid of harness.processes()) harness.signal(pid, "SIGKILL");
    harness.closePipe();
    const batches = await clients.stop();
    served.push({ balance: server.balance(), batches });
    return why === "over";
  }

  private elapsed(): number {
    return (performance.now() - this.began) / 1000;
  }

  private isOver(): boolean {
    return this.interrupted || this.elapsed() > this.seconds;
  }
}
