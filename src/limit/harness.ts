/**
 * Runs a trial: one server and its clients, measured by the clients, in the log, in the shared memory
 * and by the kernel. Judges nothing. Server and clients have ended when it returns or throws. The log
 * has no name: the kernel removes it with the last process that has it open, even after SIGKILL.
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../audit/audit";
import { sum } from "../base/numbers";
import type { ProcessPer } from "../base/protocol";
import { writeDuration } from "../base/units";
import { StartError, type StartedServer, type StartFailure, startServer } from "../harness/server";
import { defaultBacklog, type Machine } from "../machine/capacity";
import { inTemporaryFolder } from "../machine/files";
import { readMemory, sendFragment, settledMemory } from "../machine/memory";
import { proportionalMemory } from "../machine/process";
import { busyShare, cpuTimes, listenCounters, Watch } from "../machine/readings";
import type { Scoreboard } from "../native/scoreboard";
import { listenQueue } from "../native/sockets";
import { openScoreboardOf } from "../status/servers";
import { clientProcesses } from "./bounds";
import { Clients, type ClientsPlan, type ClientsResult } from "./clients";

/** Children that serve the connections of a rate, where each request has a process. */
const MOST_FOR_RATE = 1000;

export interface TrialPlan
  extends Pick<
    ClientsPlan,
    "clients" | "workMs" | "rampMs" | "rate" | "durationMs" | "barrier" | "timeoutMs"
  > {
  readonly number: number;
}

/** What the audit of the log found. */
export interface LogReading {
  readonly peak: number;
  readonly pids: number;
  readonly heldMs: number;
  readonly counted: number;
  readonly completed: number;
  readonly died: number;
  readonly problems: readonly string[];
}

/** Bytes in use, in the whole system. */
export interface MemoryReading {
  /** Before the server is started. */
  readonly beforeBytes: number;
  /** When all children were up. */
  readonly upBytes: number;
  /** The most while clients were connected, with the kernel's buffers for sending. */
  readonly peakBytes: number;
  /** Of the front, which is no child. */
  readonly frontBytes: number;
  /** Of the client processes. */
  readonly clientBytes: number;
}

export interface Measured {
  /** Null when the server did not start. */
  readonly upMs: number | null;
  /** Why it did not start; null if it did. */
  readonly startFailure: Omit<StartFailure, "event"> | null;
  /** The errno value of the last record that a child wrote; 0 when it was written. */
  readonly logError: number;
  readonly clients: ClientsResult | null;
  readonly log: LogReading | null;
  /** The most working slots in one snapshot. */
  readonly working: number;
  readonly memory: MemoryReading;
  /** The trial was ended early, since too little memory was left. */
  readonly shortage: boolean;
  /** Busy share of the processors before the trial, 0 to 1. */
  readonly otherShare: number;
  /** Busy share of the processors in the busiest second. */
  readonly busiestShare: number;
  readonly listenOverflows: number;
  readonly listenDrops: number;
  /** Handshakes that the server's own socket dropped; null if that cannot be read. */
  readonly queueDrops: number | null;
}

export interface HarnessOptions {
  readonly machine: Machine;
  readonly processPer: ProcessPer;
  /** Bytes of memory that are left to others. */
  readonly floorBytes: number;
  readonly signal: AbortSignal;
  /** Called with a sentence for each step. */
  readonly say: (text: string) => void;
}

export class Harness {
  readonly backlog: number;

  constructor(private readonly options: HarnessOptions) {
    this.backlog = defaultBacklog(options.machine.somaxconn);
  }

  processesFor(clients: number): number {
    return clientProcesses(clients, this.options.machine);
  }

  /** Where each request has a process, connections of a rate need no child each. */
  private childrenFor({ clients, durationMs }: TrialPlan): number {
    const isAtOnce = durationMs === 0;
    return this.options.processPer === "request" && !isAtOnce
      ? Math.min(clients, MOST_FOR_RATE)
      : clients;
  }

  /** Throws the reason of the signal if it is aborted. */
  async run(plan: TrialPlan): Promise<Measured> {
    const log = openNameless();
    const ended = new AbortController();
    const end = () => ended.abort();
    this.options.signal.addEventListener("abort", end);
    this.options.say("waiting for the memory to settle");
    const cpuBefore = cpuTimes();
    const beforeBytes = await settledMemory();
    const otherShare = busyShare(cpuBefore);
    const countersBefore = listenCounters();
    const watch = new Watch(this.options.floorBytes, end);
    try {
      this.options.signal.throwIfAborted();
      const course = await this.runServer(plan, log, watch, ended.signal);
      const counters = listenCounters();
      this.options.signal.throwIfAborted();
      return {
        ...course,
        memory: { ...course.memory, beforeBytes },
        log: course.upMs === null ? null : readLog(log, plan),
        shortage: watch.shortage,
        otherShare,
        busiestShare: watch.busiestShare,
        listenOverflows: counters.overflows - countersBefore.overflows,
        listenDrops: counters.drops - countersBefore.drops,
      };
    } finally {
      watch.stop();
      this.options.signal.removeEventListener("abort", end);
      closeSync(log);
    }
  }

  private async runServer(plan: TrialPlan, log: number, watch: Watch, signal: AbortSignal) {
    this.options.say("forking children");
    let server: StartedServer;
    try {
      server = await startServer({
        children: this.childrenFor(plan),
        work: plan.workMs > 0 ? `sleep:${writeDuration(plan.workMs)}` : "none",
        log,
        args: [
          ...["--process-per", this.options.processPer],
          ...["--backlog", String(this.backlog), "--grace", "2s"],
        ],
        signal,
      });
    } catch (error) {
      if (!(error instanceof StartError)) throw error;
      const { message, code, failure } = error;
      const memory = { upBytes: 0, peakBytes: 0, frontBytes: 0, clientBytes: 0 };
      return {
        ...{ upMs: null, clients: null, working: 0, logError: 0, memory, queueDrops: null },
        startFailure: { code: failure?.code ?? code, errno: failure?.errno, message },
      };
    }
    try {
      const upBytes = readMemory().inUse;
      this.options.say("connecting clients");
      const { clients, peak, logError } = await this.runClients(plan, server, signal);
      const queueDrops = listenQueue(server.address, server.port)?.dropped ?? null;
      this.options.say("stopping the server");
      const { working, frontBytes, clientBytes } = peak;
      const peakBytes = watch.mostMemory + working * sendFragment();
      const memory = { upBytes, peakBytes, frontBytes, clientBytes };
      await server.stop();
      const { upMs } = server;
      return { upMs, startFailure: null, clients, working, logError, memory, queueDrops };
    } finally {
      await server.stop();
    }
  }

  private async runClients(plan: TrialPlan, server: StartedServer, signal: AbortSignal) {
    const clients = new Clients({
      ...plan,
      port: server.port,
      processPer: this.options.processPer,
      processes: this.processesFor(plan.clients),
      name: nameOf(plan),
      // The queue has room for twice as many, so no SYN is sent again.
      window: Math.floor(this.backlog / 2),
    });
    const kill = () => clients.kill();
    signal.addEventListener("abort", kill);
    if (signal.aborted) kill();
    try {
      let running = true;
      const done = clients.done.finally(() => {
        running = false;
      });
      const peak = await this.observe(plan, server, clients, () => running);
      return { clients: await done, peak, logError: readLogError(server) };
    } finally {
      signal.removeEventListener("abort", kill);
      kill();
    }
  }

  /** Samples the shared memory until all work, and the memory of the processes at the peak. */
  private async observe(
    plan: TrialPlan,
    server: StartedServer,
    { pids }: Clients,
    running: () => boolean,
  ): Promise<{ working: number; frontBytes: number; clientBytes: number }> {
    const MILLISECONDS_A_SLOT = 0.02; // sampling must not slow the server
    const peak = { working: 0, frontBytes: 0, clientBytes: 0 };
    const scoreboard = openIfThere(server);
    if (!scoreboard) return peak;
    try {
      while (running() && peak.working < plan.clients) {
        await sleep(100 + plan.clients * MILLISECONDS_A_SLOT);
        const working = scoreboard.countWorking();
        if (working < peak.working) continue;
        peak.working = working;
        peak.frontBytes = proportionalMemory(server.pid);
        peak.clientBytes = sum(pids.map(proportionalMemory));
        this.options.say(`${working} clients are served`);
      }
      return peak;
    } finally {
      scoreboard.close();
    }
  }
}

/** Undefined if the server has just died; its clients report that. */
function openIfThere({ pid }: StartedServer): Scoreboard | undefined {
  try {
    return openScoreboardOf(pid);
  } catch {
    return undefined;
  }
}

function readLogError(server: StartedServer): number {
  const scoreboard = openIfThere(server);
  try {
    return scoreboard?.header().logError ?? 0;
  } finally {
    scoreboard?.close();
  }
}

function openNameless(): number {
  const { O_RDWR, O_APPEND, O_CREAT, O_EXCL } = constants;
  return inTemporaryFolder((folder) => {
    const path = join(folder, `kilofork-limit-${process.pid}-${randomBytes(4).toString("hex")}`);
    const log = openSync(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0o600);
    rmSync(path);
    return log;
  });
}

const nameOf = ({ number }: TrialPlan) => `limit-${number}`;

/** Audits the log, which has this trial only. */
function readLog(log: number, plan: TrialPlan): LogReading {
  const logs = [`/proc/self/fd/${log}`];
  const result = audit({ logs, match: `${nameOf(plan)}-`, atLeast: 0, all: false });
  const run = result.runs[0];
  return {
    peak: run?.peak ?? 0,
    pids: run?.pids ?? 0,
    heldMs: run?.peakHeldMs ?? 0,
    counted: run?.ledger.counted ?? 0,
    completed: run?.ledger.completed ?? 0,
    died: run?.ledger.died ?? 0,
    problems: result.problems,
  };
}
