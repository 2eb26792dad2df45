/** From the first start of the server to the verdict. A server that ends is started again. */
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { addUp, judge, type Served, type Verdict } from "./books";
import { CLIENTS, Clients } from "./clients";
import type { Harness } from "./harness";
import { Random } from "./random";
import { Server } from "./server";
import { Strikes, type Tally } from "./strikes";

/** At the end, when nothing is done to the server any more. */
const CALM_MS = 1000;

export interface Report extends Verdict {
  readonly kind: "chaos";
  readonly schema: 1;
  readonly ok: boolean;
  readonly seed: number;
  readonly seconds: number;
  readonly interrupted: boolean;
  readonly clients: number;
  /** Whether we may mount a disk to fill. */
  readonly hasDisk: boolean;
  /** Of the server. */
  readonly runs: number;
  /** From the strike, or the order to stop, until the last process had left. */
  readonly slowestEndMs: number;
  readonly done: Readonly<Record<string, Tally>>;
  /** By the server's own count. */
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

  /** Comes to its end now. */
  interrupt(): void {
    this.interrupted = true;
  }

  async run(): Promise<Report> {
    const port = await freePort(new Random(process.pid));
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

  /** True: it was the last one, and ended in good order. */
  private async runServer(port: number): Promise<boolean> {
    const { harness, strikes, served, problems } = this;
    const server = await Server.start(harness, port);
    if (this.servers.some((earlier) => earlier.hasSharedMemory()))
      problems.push(`run ${served.length}: its shared memory was not swept by the next start`);
    this.servers.push(server);
    const clients = new Clients(port, served.length, new Random(this.seed + served.length));
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
    if (!(await server.hasLeft())) problems.push(`${run}: processes are left`);
    this.slowestEndMs = Math.max(this.slowestEndMs, performance.now() - struck);
    strikes.undoAll(); // the next start needs space
    for (const pid of harness.processes()) harness.signal(pid, "SIGKILL");
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

/** Not of those that the kernel gives to clients: it has to be free again and again. */
async function freePort(random: Random): Promise<number> {
  for (;;) {
    const port = random.between(20_000, 30_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
