/**
 * The clients of a trial: several processes of `kilofork client`, each with a local address of its
 * own and a share of the clients. Merges their results. Each process ends with this one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { commandPath } from "../base/paths";
import type { ProcessPer } from "../base/protocol";
import { writeDuration } from "../base/units";
import { Latency, type Measure, type Percentiles } from "../client/latency";
import { type ClientResult, mergeFailures, splitClients } from "../client/load";
import type { LoadFailures } from "../native/load";

export interface ClientsPlan {
  readonly port: number;
  /** What has a process of its own in the server; default: each connection. */
  readonly processPer?: ProcessPer;
  readonly clients: number;
  readonly processes: number;
  /** The beginning of all messages; each process adds its number. */
  readonly name: string;
  /** Maximum number of clients that wait for their greeting, over all processes. */
  readonly window: number;
  readonly workMs: number;
  /** The time over which the connects of each process are spread. */
  readonly rampMs: number;
  readonly timeoutMs: number;
  /** Requests a second over all clients (open loop); 0: closed loop. */
  readonly rate: number;
  /** Time to send requests for; 0: each client sends one. */
  readonly durationMs: number;
  /** Each process sends when all its clients have been greeted. */
  readonly barrier: boolean;
}

/** The results of all processes, merged. Times are in milliseconds. */
export interface ClientsResult {
  readonly clients: number;
  readonly processes: number;
  readonly sent: number;
  readonly verified: number;
  readonly failures: readonly LoadFailures[];
  readonly synRetransmits: number;
  /** A sentence for each process that did not have its whole share in flight at one instant. */
  readonly incomplete: readonly string[];
  /** Time for which every process had its whole share in flight. */
  readonly togetherMs: number;
  /** From the first send to the last reply, over all processes. */
  readonly elapsedMs: number;
  readonly requestsPerSecond: number;
  readonly connectMs: Percentiles;
  readonly replyMs: Percentiles;
  readonly beyondMs: Percentiles;
  readonly lagMs: Percentiles;
  /** A sentence for each process without a result. */
  readonly lost: readonly string[];
}

export class Clients {
  private readonly processes: ChildProcess[];
  private readonly shares: readonly number[];
  readonly done: Promise<ClientsResult>;

  constructor(plan: ClientsPlan) {
    const shares = splitClients({ clients: plan.clients, osThreads: plan.processes });
    this.shares = shares.map(({ clients }) => clients);
    this.processes = this.shares.map((share, i) => start(plan, share, i));
    this.done = Promise.all(this.processes.map(resultOf)).then((results) =>
      merge(results, this.shares),
    );
  }

  get pids(): number[] {
    return this.processes.map(({ pid }) => pid ?? 0);
  }

  /** May be called at any time: the processes have nothing to clean up, and no result is wanted. */
  kill(): void {
    for (const process of this.processes) process.kill("SIGKILL");
  }
}

function start(plan: ClientsPlan, share: number, index: number): ChildProcess {
  const { clients, processes, durationMs, rate, workMs, rampMs } = plan;
  const part = share / clients;
  const least = (value: number) => String(Math.max(1, Math.floor(value)));
  const args = [
    ...["client", "127.0.0.1", String(plan.port), String(share)],
    `arijort:${plan.name}-${index + 1}`,
    ...["--from", `127.0.0.${1 + index}`, "--window", least(plan.window * part)],
    ...["--os-threads", least(availableParallelism() / processes)],
    ...["--timeout", writeDuration(plan.timeoutMs), "--beyond", writeDuration(workMs)],
    ...(rampMs > 0 ? ["--ramp", writeDuration(rampMs)] : []),
    ...(durationMs > 0 ? ["--duration", writeDuration(durationMs)] : []),
    ...(rate > 0 ? ["--rate", least(Math.round(rate * part))] : []),
    ...(plan.barrier ? ["--barrier"] : []),
    ...(plan.processPer ? ["--process-per", plan.processPer] : []),
    ...["--json", "--histograms", "--stop-at-eof"],
  ];
  return spawn(process.execPath, [commandPath, ...args], { stdio: ["pipe", "pipe", "pipe"] });
}

/** Resolves to the result of a process, or to its standard error if it has no result. */
async function resultOf(child: ChildProcess): Promise<ClientResult | string> {
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (data) => {
    stdout += data;
  });
  child.stderr?.on("data", (data) => {
    stderr += data;
  });
  try {
    const [code, signal] = await once(child, "close");
    if (stdout === "") return stderr.trim() || `ended by ${signal ?? `exit ${code}`}`;
    return JSON.parse(stdout) as ClientResult;
  } catch (error) {
    return (error as Error).message; // it could not be started
  }
}

function merge(
  results: readonly (ClientResult | string)[],
  shares: readonly number[],
): ClientsResult {
  const whole = results.filter((result) => typeof result !== "string");
  const sum = (pick: (result: ClientResult) => number) =>
    whole.reduce((total, result) => total + pick(result), 0);
  const percentiles = (measure: Measure) => {
    const merged = new Latency();
    for (const { histograms } of whole) if (histograms) merged.merge(histograms[measure]);
    return merged.percentiles();
  };
  const incomplete = results.flatMap((result, i) => {
    if (typeof result === "string") return [];
    const { peak, pids } = result.inFlight;
    const share = shares[i] ?? 0;
    if (peak >= share && pids >= share) return [];
    return [`client process ${i + 1}: ${peak} of ${share} in flight at once, in ${pids} processes`];
  });
  const from = Math.max(...whole.map(({ inFlight }) => inFlight.fromMs));
  const until = Math.min(...whole.map(({ inFlight }) => inFlight.fromMs + inFlight.heldMs));
  const began = Math.min(...whole.map(({ firstSendMs }) => firstSendMs).filter((ms) => ms > 0));
  const ended = Math.max(...whole.map(({ lastReplyMs }) => lastReplyMs));
  const verified = sum(({ requests }) => requests.verified);
  const elapsedMs = Number.isFinite(ended - began) ? Math.max(0, ended - began) : 0;
  return {
    clients: shares.reduce((total, share) => total + share, 0),
    processes: results.length,
    sent: sum(({ requests }) => requests.sent),
    verified,
    failures: mergeFailures(whole),
    synRetransmits: sum(({ synRetransmits }) => synRetransmits),
    incomplete,
    togetherMs: whole.length === results.length ? Math.max(0, until - from) : 0,
    elapsedMs,
    requestsPerSecond: elapsedMs > 0 ? (verified / elapsedMs) * 1000 : 0,
    connectMs: percentiles("connect"),
    replyMs: percentiles("reply"),
    beyondMs: percentiles("beyond"),
    lagMs: percentiles("lag"),
    lost: results.filter((result) => typeof result === "string"),
  };
}
