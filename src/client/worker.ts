/**
 * One thread of the client: drives its share of the connections through the native engine, counts
 * into what the threads share, and sends its result when all is done.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type LoadCounts, LoadEngine, type LoadFailures, type LoadOptions } from "../native";
import { Latency } from "./latency";
import { Shared } from "./mutex";

export interface WorkerTask {
  readonly options: LoadOptions;
  readonly threads: number;
  /** Of all threads: the barrier opens when so many have settled. */
  readonly clients: number;
  readonly inFlight: number;
  readonly shared: SharedArrayBuffer;
}

export interface WorkerResult {
  readonly counts: LoadCounts;
  readonly failures: readonly LoadFailures[];
  readonly address: string;
  /** Encoded histograms. */
  readonly connect: string;
  readonly reply: string;
  readonly lag: string;
}

/** How long the engine works before it lets us look at what the threads share. */
const STEP_MS = 50;
const STEP_AT_BARRIER_MS = 1;

function run(task: WorkerTask): WorkerResult {
  const shared = new Shared(task.shared);
  const engine = new LoadEngine(task.options, task.inFlight);
  const [connect, reply, lag] = [Latency.warm(), Latency.warm(), Latency.warm()];
  let waiting = task.options.barrier;
  let before = engine.counts();
  engine.samples();
  shared.arrive(task.threads);
  for (let done = false; !done && !shared.stopped; ) {
    done = engine.step(waiting ? STEP_AT_BARRIER_MS : STEP_MS);
    const samples = engine.samples();
    connect.record(samples.connect);
    reply.record(samples.reply);
    lag.record(samples.lag);
    const counts = engine.counts();
    const sums = shared.add(counts.verified - before.verified, counts.settled - before.settled);
    before = counts;
    if (waiting && sums.settled === task.clients) {
      engine.release();
      waiting = false;
    }
  }
  return {
    counts: before,
    failures: engine.failures(),
    address: engine.address,
    connect: connect.encode(),
    reply: reply.encode(),
    lag: lag.encode(),
  };
}

parentPort?.postMessage(run(workerData as WorkerTask));
