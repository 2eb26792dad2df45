/**
 * The clients of one run of the server. Every request has a message of its own, `<batch> <number>`,
 * and is sent once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ProcessPer } from "../src/base/protocol";
import { type ClientResult, describeFailures, Load } from "../src/client/load";
import type { Random } from "../test/support/random";
import type { Batch } from "./batch";
import { Witness } from "./witness";

const PATIENCE_MS = 20_000;
const WITNESSES = 20;
/** In each lane one load follows another, so that old and new connections are there at any time. */
const LANES = [
  { clients: 40, rate: 450, reconnect: false },
  { clients: 40, rate: 450, reconnect: false },
  { clients: 30, rate: 150, reconnect: true },
  { clients: 30, rate: 150, reconnect: true },
];

export const CLIENTS = LANES.reduce((sum, { clients }) => sum + clients, WITNESSES);

export class Clients {
  private stopping = false;
  private readonly loads = new Set<Load>();
  private readonly witnesses: readonly Witness[];
  private readonly done: Promise<readonly Batch[]>;

  constructor(
    private readonly port: number,
    private readonly run: number,
    random: Random,
    private readonly processPer: ProcessPer,
  ) {
    const names = Array.from({ length: WITNESSES }, (_, i) => `r${run}w${i}`);
    this.witnesses = names.map((name) => new Witness(name, port, PATIENCE_MS, processPer));
    this.done = Promise.all([
      ...LANES.map((_, lane) => this.follow(lane, random)),
      ...this.witnesses.map(async (witness) => [await witness.run()]),
    ]).then((batches) => batches.flat());
  }

  /** Leaves requests in flight as they are: they are neither verified nor failed. */
  stop(): Promise<readonly Batch[]> {
    this.stopping = true;
    for (const load of this.loads) load.interrupt();
    for (const witness of this.witnesses) witness.stop();
    return this.done;
  }

  private async follow(lane: number, random: Random): Promise<Batch[]> {
    const REST_MS = 100;
    const batches: Batch[] = [];
    for (; !this.stopping; await sleep(REST_MS)) {
      const name = `r${this.run}l${lane}n${batches.length}`;
      const load = new Load({
        ...{ host: "127.0.0.1", addresses: ["127.0.0.1"], port: this.port, osThreads: 1 },
        ...{ message: `arijort:${name}`, requests: 0, durationMs: random.between(1500, 6000) },
        ...{ rampMs: 0, barrier: false, rate: 0, clients: 1, reconnect: false, ...LANES[lane] },
        ...{ connectTimeoutMs: PATIENCE_MS, replyTimeoutMs: PATIENCE_MS },
        processPer: this.processPer,
      });
      this.loads.add(load);
      batches.push(batchOf(name, await load.run()));
      this.loads.delete(load);
    }
    return batches;
  }
}

function batchOf(name: string, { requests, failures }: ClientResult): Batch {
  const count: Record<string, number> = {};
  for (const failure of failures) count[failure.kind] = failure.count;
  return {
    name,
    ...{ sent: requests.sent, verified: requests.verified },
    ...{ failures: count, repliedTwice: 0 },
    problems: failures
      .filter((failure) => IMPOSSIBLE.has(failure.kind))
      .map((failure) => `${name}: ${describeFailures(failure)}`),
  };
}

/** A killed server loses connections and may refuse; it never replies wrongly or not at all. */
const IMPOSSIBLE: ReadonlySet<string> = new Set(["greeting", "mismatch", "timeout", "ungreeted"]);
