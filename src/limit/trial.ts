/**
 * The trials: a number of clients at once, a rate of requests, or the maximum throughput. Plans each,
 * runs it on the {@link Harness}, judges it, and reports it as in `--json`.
 */
import { availableParallelism } from "node:os";
import type { Percentiles } from "../client/latency";
import { nearestProcessLimit, readMachine } from "../machine/capacity";
import type { Harness, Measured, TrialPlan } from "./harness";
import { type Conditions, judge, type Limit, type Verdict } from "./judge";
import type { Outcome } from "./search";

/** Times in milliseconds, memory in bytes of the whole system. */
export interface Trial {
  readonly number: number;
  readonly kind: "clients" | "rate" | "throughput";
  readonly clients: number;
  /** Scheduled requests a second; null in a closed loop. */
  readonly rate: number | null;
  readonly held: boolean;
  /** All replies were right, but some were late. */
  readonly late: boolean;
  readonly problems: readonly string[];
  readonly cause: Limit | null;
  readonly workMs: number;
  /** The time over which the connects were spread. */
  readonly rampMs: number;
  /** Time until all children were up; null if they never were. */
  readonly upMs: number | null;
  readonly clientProcesses: number;
  readonly verified: number;
  readonly failed: number;
  readonly requestsPerSecond: number;
  readonly connectMs: Percentiles | null;
  /** Of each reply, what it took beyond the work. */
  readonly beyondMs: Percentiles | null;
  /** Lag of the clients themselves: from the arrival of a reply until it was read. */
  readonly lagMs: Percentiles | null;
  /** By the log: the peak in flight, its distinct processes, and how long it lasted. */
  readonly peak: number;
  readonly processes: number;
  readonly heldMs: number;
  /** Time for which every client process had its whole share in flight. */
  readonly togetherMs: number;
  /** Working slots in one snapshot of the shared memory. */
  readonly working: number;
  readonly synRetransmits: number;
  readonly listenOverflows: number;
  readonly listenDrops: number;
  /** Busy share of the processors, 0 to 1: before the trial, and in its busiest second. */
  readonly otherCpuShare: number;
  readonly busiestCpuShare: number;
  readonly memoryBeforeBytes: number;
  readonly memoryUpBytes: number;
  readonly memoryPeakBytes: number;
  /** Of the whole system, without front and client processes. */
  readonly idleChildBytes: number | null;
  readonly busyChildBytes: number | null;
}

export const outcomeOf = ({ held, late }: Trial): Outcome =>
  held ? "held" : late ? "late" : "broke";

export interface TrialOptions {
  readonly sloMs: number;
  readonly holdMs: number;
}

/** The memory of fewer children is not reported: other activity would hide it. */
const LEAST_TO_WEIGH = 1000;
/** A trial without work; the clients of a process send when all have been greeted. */
const WITHOUT_WORK = { workMs: 0, rampMs: 0, durationMs: 2000, barrier: true };
/**
 * Clients that connect in a second, halved when greetings become slow. In a burst, they would overload
 * the processors at a load that the server can hold.
 */
const FIRST_PACE = 5000;
const SLOWEST_PACE = 500;
/** The pace is too high if the 99th percentile of the greetings is longer. */
const PROMPT_MS = 100;
const START_OF_A_PROCESS_MS = 500;
/** A reply that is later than --slo by more than this counts as lost. */
const PATIENCE_MS = 20_000;

export class Trials {
  readonly all: Trial[] = [];
  private pace = FIRST_PACE;

  constructor(
    private readonly harness: Harness,
    private readonly options: TrialOptions,
    private readonly onTrial: (trial: Trial) => void,
  ) {}

  /** Tries so many clients at one instant, each served by a process of its own. */
  async clients(count: number): Promise<Trial> {
    for (let tries = 1; ; tries++) {
      const rampMs = Math.ceil((1000 * count) / this.pace);
      const startMs = this.startMs(count);
      // The work lasts until the last client has connected, and then for the hold time. Other work
      // may delay the start of a client process: then a second try gives more time.
      const workMs = tries * (this.options.holdMs + startMs) + rampMs;
      const plan = { clients: count, workMs, rampMs, rate: 0, durationMs: 0, barrier: false };
      const { trial, verdict } = await this.run("clients", plan);
      if ((trial.connectMs?.p99 ?? 0) > PROMPT_MS)
        this.pace = Math.max(SLOWEST_PACE, this.pace / 2);
      if (!verdict.apart || tries === 2) return this.add(trial);
    }
  }

  /** Tries so many requests a second, sent on schedule (open loop). */
  async rate(rate: number, connections: number): Promise<Trial> {
    return this.add(
      (await this.run("rate", { ...WITHOUT_WORK, clients: connections, rate })).trial,
    );
  }

  /** Sends as many requests as possible: each client sends when it has its reply (closed loop). */
  async throughput(connections: number): Promise<Trial> {
    const plan = { ...WITHOUT_WORK, clients: connections, rate: 0 };
    return this.add((await this.run("throughput", plan)).trial);
  }

  /** Estimates the time that the client processes take to start. */
  private startMs(clients: number): number {
    const turns = Math.max(1, this.harness.processesFor(clients) / availableParallelism());
    return Math.ceil(START_OF_A_PROCESS_MS * turns);
  }

  private async run(kind: Trial["kind"], what: Omit<TrialPlan, "number" | "timeoutMs">) {
    const number = this.all.length + 1;
    const plan = { ...what, number, timeoutMs: what.workMs + this.options.sloMs + PATIENCE_MS };
    const measured = await this.harness.run(plan);
    const conditions: Conditions = {
      sloMs: this.options.sloMs,
      nearestProcessLimit: nearestProcessLimit(readMachine()),
    };
    const verdict = judge(measured, plan, conditions);
    return { verdict, trial: report(kind, plan, measured, verdict) };
  }

  private add(trial: Trial): Trial {
    this.all.push(trial);
    this.onTrial(trial);
    return trial;
  }
}

function report(
  kind: Trial["kind"],
  plan: TrialPlan,
  measured: Measured,
  { held, late, problems, cause }: Verdict,
): Trial {
  const { clients, log, memory, upMs } = measured;
  const { beforeBytes, upBytes, peakBytes, frontBytes, clientBytes } = memory;
  // Unknown if other processes freed more than the trial took.
  const each = (bytes: number) => (bytes > 0 ? bytes / plan.clients : null);
  const wasFull = measured.working >= plan.clients && plan.clients >= LEAST_TO_WEIGH;
  return {
    number: plan.number,
    kind,
    clients: plan.clients,
    rate: plan.rate > 0 ? plan.rate : null,
    ...{ held, late, problems, cause },
    workMs: plan.workMs,
    rampMs: plan.rampMs,
    upMs,
    clientProcesses: clients?.processes ?? 0,
    verified: clients?.verified ?? 0,
    failed: clients?.failures.reduce((sum, { count }) => sum + count, 0) ?? 0,
    requestsPerSecond: clients?.requestsPerSecond ?? 0,
    connectMs: clients?.connectMs ?? null,
    beyondMs: clients?.beyondMs ?? null,
    lagMs: clients?.lagMs ?? null,
    peak: log?.peak ?? 0,
    processes: log?.pids ?? 0,
    heldMs: log?.heldMs ?? 0,
    togetherMs: clients?.togetherMs ?? 0,
    working: measured.working,
    synRetransmits: clients?.synRetransmits ?? 0,
    listenOverflows: measured.listenOverflows,
    listenDrops: measured.listenDrops,
    otherCpuShare: measured.otherShare,
    busiestCpuShare: measured.busiestShare,
    memoryBeforeBytes: beforeBytes,
    memoryUpBytes: upBytes,
    memoryPeakBytes: peakBytes,
    idleChildBytes: !wasFull ? null : each(upBytes - beforeBytes - frontBytes),
    busyChildBytes: wasFull ? each(peakBytes - beforeBytes - frontBytes - clientBytes) : null,
  };
}
