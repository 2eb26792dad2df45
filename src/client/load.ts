/**
 * Runs a load: splits the clients over threads, waits for them, and merges their measurements into
 * a {@link ClientResult}, which `--json` and `--out` print. Prints nothing.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { FailureKind } from "../base/enumerations";
import { clientWorkerPath } from "../base/paths";
import { clientTemplates, type ProcessPer, REFUSAL } from "../base/protocol";
import { InFlight, type LoadFailures } from "../native/load";
import { encodeAll, Latency, type Measure, type Percentiles } from "./latency";
import { Shared } from "./mutex";
import type { WorkerResult, WorkerTask } from "./worker";

/** One thread of the native engine drives thousands of connections. */
export const DEFAULT_OS_THREADS = Math.min(availableParallelism(), 4);

/** What to do. Times are in milliseconds. */
export interface LoadPlan {
  readonly host: string;
  /** Numeric addresses of the host; each is tried. */
  readonly addresses: readonly string[];
  /** The address to connect from; without it, the kernel chooses. */
  readonly from?: string | undefined;
  readonly port: number;
  readonly clients: number;
  /** `user:message`; each request adds its number. */
  readonly message: string;
  /** Of each client; 0: as many as the duration allows. */
  readonly requests: number;
  readonly durationMs: number;
  /** Requests a second over all clients; 0: closed loop. */
  readonly rate: number;
  /** The time over which the first connects are spread. */
  readonly rampMs: number;
  /** Clients that may wait for their first greeting at a time; without it, all. */
  readonly window?: number | undefined;
  /** Send when all clients have been greeted or have failed. */
  readonly barrier: boolean;
  /** Open a new connection for each request. */
  readonly reconnect: boolean;
  /** What has a process of its own in the server; default: each connection. */
  readonly processPer?: ProcessPer;
  /** Duration of the server's work: the latency beyond it is measured, too. */
  readonly workMs?: number | undefined;
  /** Add encoded histograms to the result, for merging with other clients. */
  readonly histograms?: boolean | undefined;
  readonly connectTimeoutMs: number;
  readonly replyTimeoutMs: number;
  readonly osThreads: number;
}

/** What was measured. Times are in milliseconds. */
export interface ClientResult {
  readonly kind: "client";
  readonly schema: 1;
  readonly ok: boolean;
  readonly problems: readonly string[];
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly message: string;
  readonly clients: number;
  readonly osThreads: number;
  /**
   * `pids`: distinct processes that greeted a client or, with a process for each request, replied;
   * `firstPids`: the first 16 of them.
   */
  readonly greeted: {
    readonly clients: number;
    readonly pids: number;
    readonly firstPids: readonly number[];
  };
  readonly barrier: boolean;
  readonly reconnect: boolean;
  readonly processPer: ProcessPer;
  readonly requests: { readonly sent: number; readonly verified: number; readonly failed: number };
  readonly failures: readonly LoadFailures[];
  readonly connections: number;
  readonly synRetransmits: number;
  /** The most at one instant, and the longest stretch at that number; `fromMs` since 1970. */
  readonly inFlight: {
    readonly peak: number;
    readonly pids: number;
    readonly fromMs: number;
    readonly heldMs: number;
  };
  /** Since 1970. */
  readonly firstConnectMs: number;
  readonly firstSendMs: number;
  readonly lastReplyMs: number;
  /** By so much the clock was set during the run; negative: back. */
  readonly clockStepMs: number;
  /** From the first connect to the last verified reply. */
  readonly elapsedMs: number;
  readonly loop: "open" | "closed";
  readonly requestsPerSecond: number;
  readonly connectMs: Percentiles;
  readonly replyMs: Percentiles;
  /** Of each reply, what it took beyond the server's work. */
  readonly beyondMs?: Percentiles;
  readonly lagMs: Percentiles;
  /** Encoded, in microseconds: percentiles cannot be merged, histograms can. */
  readonly histograms?: Readonly<Record<Measure, string>>;
  readonly clientWasBottleneck: boolean;
  /** The run was ended early: {@link Load.interrupt}. */
  readonly interrupted: boolean;
}

/** The client is the bottleneck when its own lag exceeds this share of the median reply. */
const BOTTLENECK_SHARE = 0.1;
const BOTTLENECK_FLOOR_MS = 1;

export class Load {
  private readonly shared = Shared.create();
  private readonly inFlight = new InFlight();
  private readonly templates: ReturnType<typeof clientTemplates>;
  private interrupted = false;
  private readonly clockAheadBefore = clockAhead();

  /** Throws ERR_ARGUMENT if the message does not conform to the protocol. */
  constructor(private readonly plan: LoadPlan) {
    this.templates = clientTemplates(plan.message, longestNumber(plan));
  }

  /** Verified replies so far. */
  handled(): number {
    return this.shared.add(0, 0).handled;
  }

  /** Clients that have been greeted or have failed so far. */
  settled(): number {
    return this.shared.add(0, 0).settled;
  }

  /** Ends the run early; run() resolves to what was measured. */
  interrupt(): void {
    this.interrupted = true;
    this.shared.stop();
  }

  /** Runs the load once. Requests that fail are in the result; throws if a thread fails. */
  async run(): Promise<ClientResult> {
    const shares = splitClients(this.plan);
    const threads = shares.map((share) => this.startThread(share, shares.length));
    try {
      return this.merge(await Promise.all(threads.map(resultOf)));
    } finally {
      for (const thread of threads) void thread.terminate(); // if one fails, others wait for it
    }
  }

  private startThread(share: { clients: number; firstNumber: number }, threads: number): Worker {
    const { plan } = this;
    const task: WorkerTask = {
      options: {
        ...this.templates,
        refusal: REFUSAL,
        addresses: plan.addresses,
        from: plan.from ?? "",
        port: plan.port,
        ...share,
        requests: plan.requests,
        durationMs: plan.durationMs,
        rampStepMs: plan.rampMs / share.clients,
        window: plan.window ? Math.max(1, Math.floor(plan.window / threads)) : 0,
        intervalMs: plan.rate > 0 ? (1000 * plan.clients) / (plan.rate * share.clients) : 0,
        connectTimeoutMs: plan.connectTimeoutMs,
        replyTimeoutMs: plan.replyTimeoutMs,
        barrier: plan.barrier,
        reconnect: plan.reconnect,
        pidByReply: plan.processPer === "request",
      },
      threads,
      clients: plan.clients,
      workMs: plan.workMs,
      inFlight: this.inFlight.id,
      shared: this.shared.memory,
    };
    return new Worker(clientWorkerPath, { workerData: task });
  }

  private merge(results: readonly WorkerResult[]): ClientResult {
    const { plan } = this;
    const sum = (pick: (result: WorkerResult) => number) =>
      results.reduce((total, result) => total + pick(result), 0);
    const first = (pick: (result: WorkerResult) => number) =>
      Math.min(...results.map(pick).filter((time) => time > 0), Number.POSITIVE_INFINITY);
    const latency = (measure: Measure) => {
      const merged = new Latency();
      for (const result of results) merged.merge(result.histograms[measure]);
      return merged;
    };

    const peak = this.inFlight.peak();
    const verified = sum(({ counts }) => counts.verified);
    const failures = mergeFailures(results);
    const greeted = sum(({ counts }) => counts.greeted);
    const firstConnectMs = first(({ counts }) => counts.firstConnectMs);
    const firstSendMs = first(({ counts }) => counts.firstSendMs);
    const lastReplyMs = Math.max(...results.map(({ counts }) => counts.lastReplyMs));
    const elapsedMs = Math.max(0, lastReplyMs - firstConnectMs);
    const loadMs = Math.max(0, lastReplyMs - firstSendMs);
    const latencies = {
      ...{ connect: latency("connect"), reply: latency("reply") },
      ...{ beyond: latency("beyond"), lag: latency("lag") },
    };
    const replyMs = latencies.reply.percentiles();
    const lagMs = latencies.lag.percentiles();
    const problems = failures.map(describeFailures);
    if (plan.barrier && greeted < plan.clients)
      problems.push(`${greeted} of ${plan.clients} clients were greeted at the barrier`);
    if (this.interrupted) problems.push("interrupted");
    return {
      kind: "client",
      schema: 1,
      ok: problems.length === 0 && verified > 0,
      problems: verified === 0 && problems.length === 0 ? ["no request was handled"] : problems,
      host: plan.host,
      address: results[0]?.address ?? "",
      port: plan.port,
      message: plan.message,
      clients: plan.clients,
      osThreads: results.length,
      greeted: { clients: greeted, pids: peak.greeters, firstPids: peak.firstGreeters },
      barrier: plan.barrier,
      reconnect: plan.reconnect,
      processPer: plan.processPer ?? "connection",
      requests: {
        sent: sum(({ counts }) => counts.sent),
        verified,
        failed: sum(({ counts }) => counts.failed),
      },
      failures,
      connections: sum(({ counts }) => counts.connections),
      synRetransmits: sum(({ counts }) => counts.synRetransmits),
      inFlight: { peak: peak.requests, pids: peak.pids, fromMs: peak.fromMs, heldMs: peak.heldMs },
      firstConnectMs: finite(firstConnectMs),
      firstSendMs: finite(firstSendMs),
      lastReplyMs,
      clockStepMs: clockAhead() - this.clockAheadBefore,
      elapsedMs: finite(elapsedMs),
      loop: plan.rate > 0 ? "open" : "closed",
      requestsPerSecond: loadMs > 0 && Number.isFinite(loadMs) ? (verified / loadMs) * 1000 : 0,
      connectMs: latencies.connect.percentiles(),
      replyMs,
      ...(plan.workMs === undefined ? {} : { beyondMs: latencies.beyond.percentiles() }),
      lagMs,
      ...(plan.histograms ? { histograms: encodeAll(latencies) } : {}),
      clientWasBottleneck:
        lagMs.p99 > BOTTLENECK_FLOOR_MS && lagMs.p99 > replyMs.p50 * BOTTLENECK_SHARE,
      interrupted: this.interrupted,
    };
  }
}

/** By how much the real-time clock is ahead of the monotonic one: changes when the clock is set. */
function clockAhead(): number {
  return Date.now() - Math.floor(performance.now());
}

function resultOf(worker: Worker): Promise<WorkerResult> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

const finite = (value: number) => (Number.isFinite(value) ? value : 0);

/** Splits clients over threads, or processes, into shares that differ by one at most. */
export function splitClients(plan: { clients: number; osThreads: number }): {
  clients: number;
  firstNumber: number;
}[] {
  const threads = Math.min(plan.osThreads, plan.clients);
  const least = Math.floor(plan.clients / threads);
  const remainder = plan.clients % threads;
  return Array.from({ length: threads }, (_, i) => ({
    clients: least + (i < remainder ? 1 : 0),
    firstNumber: 1 + i * least + Math.min(i, remainder),
  }));
}

function longestNumber(plan: LoadPlan): string {
  if (plan.requests === 1) return String(plan.clients);
  return `${plan.clients}.${plan.requests || Number.MAX_SAFE_INTEGER}`;
}

/** Adds up failures by kind, over threads or client processes; keeps the first client of each kind. */
export function mergeFailures(
  results: readonly { readonly failures: readonly LoadFailures[] }[],
): LoadFailures[] {
  const merged = new Map<FailureKind, LoadFailures>();
  for (const failure of results.flatMap((result) => result.failures)) {
    const other = merged.get(failure.kind);
    const first = other && other.firstClient < failure.firstClient ? other : failure;
    merged.set(failure.kind, { ...first, count: failure.count + (other?.count ?? 0) });
  }
  return [...merged.values()];
}

const MEANING: Readonly<Record<FailureKind, string>> = {
  connect: "could not connect",
  ungreeted: "no greeting in time",
  greeting: "not the greeting",
  timeout: "no reply in time",
  mismatch: "not the expected reply",
  refused: "by the server",
  lost: "connection lost",
  unsent: "given up after failed connects",
  overdue: "fell due, and no client was free to send it",
};

/** `2 timeout: no reply in time, first client 17`. */
export function describeFailures({ kind, count, firstClient, detail }: LoadFailures): string {
  const what = detail ? `${MEANING[kind]} (${detail})` : MEANING[kind];
  return `${count} ${kind}: ${what}${firstClient > 0 ? `, first client ${firstClient}` : ""}`;
}
