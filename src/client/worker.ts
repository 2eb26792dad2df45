/**
 * One thread of the client: drives its share of the connections through the native engine, adds to the
 * counts that the threads share, and sends its result at the end.
 */
import { parentPort, workerData } from "node:worker_threads";
import { type LoadCounts, LoadEngine, type LoadFailures, type LoadOptions } from "../native/load";
import { encodeAll, Latency, type Measure } from "./latency";
import { Shared } from "./mutex";

export interface WorkerTask {
  readonly options: LoadOptions;
  readonly threads: number;
  /** Clients of all threads: the barrier opens when so many have settled. */
  readonly clients: number;
  /** The server's work; undefined: the latency beyond it is not measured. */
  readonly workMs: number | undefined;
  readonly inFlight: number;
  readonly shared: SharedArrayBuffer;
}

export interface WorkerResult {
  readonly counts: LoadCounts;
  readonly failures: readonly LoadFailures[];
  readonly address: string;
  readonly histograms: Readonly<Record<Measure, string>>;
}

/** Time that the engine works between two updates of the shared counts. */
const STEP_MS = 50;
const STEP_AT_BARRIER_MS = 1;

function run(task: WorkerTask): WorkerResult {
  const shared = new Shared(task.shared);
  const engine = new LoadEngine(task.options, task.inFlight);
  const latencies = {
    ...{ connect: Latency.warm(), reply: Latency.warm() },
    ...{ beyond: Latency.warm(), lag: Latency.warm() },
  };
  let waiting = task.options.barrier;
  let before = engine.counts();
  engine.samples();
  shared.arrive(task.threads);
  for (let done = false; !done && !shared.stopped; ) {
    done = engine.step(waiting ? STEP_AT_BARRIER_MS : STEP_MS);
    const samples = engine.samples();
    latencies.connect.record(samples.connect);
    latencies.reply.record(samples.reply);
    if (task.workMs !== undefined) latencies.beyond.record(samples.reply, task.workMs * 1000);
    latencies.lag.record(samples.lag);
    const counts = engine.counts();
    const sums = shared.add(counts.verified - before.verified, counts.settled - before.settled);
    before = counts;
    if (waiting && sums.settled === task.clients) {
      engine.release();
      waiting = false;
    }
  }
  const overdue = engine.end();
  latencies.reply.recordFor(overdue.count, overdue.waited);
  latencies.lag.recordFor(overdue.count, overdue.lag);
  if (task.workMs !== undefined) latencies.beyond.recordFor(overdue.count, overdue.waited);
  return {
    counts: engine.counts(),
    failures: engine.failures(),
    address: engine.address,
    histograms: encodeAll(latencies),
  };
}

parentPort?.postMessage(run(workerData as WorkerTask));
