/**
 * A server that can be embedded. It runs in the front: opens the resources, starts the supervisor,
 * and starts another on the same socket if that dies. It serves no client itself, so that no client
 * waits while the front is stopped (SIGSTOP).
 *
 * It emits the events of events.ts and throws errors with codes. Signals are in signals.ts, text and
 * exit codes in command.ts.
 */
import { EventEmitter } from "node:events";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Order } from "../base/enumerations";
import { KiloforkError } from "../base/errors";
import { buildCommand, supervisorPath } from "../base/paths";
import { DEFAULT_USERS } from "../base/protocol";
import { resolveHost } from "../base/resolve";
import { LONGEST_TIMER_MS } from "../base/units";
import { DEFAULT_BACKLOG } from "../machine/capacity";
import { Scoreboard } from "../native/scoreboard";
import { isThere, listSegments } from "../native/segments";
import type { Ended, Ready, ServerEmitter, StopCause, Tell } from "./events";
import { LogMonitor } from "./log-monitor";
import { forkError, lockdownError, requireRoom } from "./machine-limits";
import { completeOptions, type ServeOptions } from "./options";
import { Orders } from "./orders";
import { killOrphansLater, recordOrphans } from "./orphans";
import { findPredecessor } from "./predecessor";
import { Resources } from "./resources";
import { requireCapabilities } from "./run-as";
import { Supervisor } from "./supervisor";
import { readUsers } from "./users";

/** A supervisor that ends within this time has failed to start. */
const START_MS = 1000;
/** A start that waits for a predecessor is tried again after this time. */
const TRIED_EVERY_MS = 20;
const GONE_WITHIN_MS = 200;
const SEGMENT_SAMPLED_EVERY_MS = 1000;
/** The server ends after so many failed starts in a row. */
const MOST_FAILED_STARTS = 5;

/** Between tries to start another supervisor. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
/** Errors of a start that pass when others end. */
const { EAGAIN, ENOMEM, EMFILE, ENFILE, ENOBUFS } = constants.errno;
const PASSING_ERRORS = new Set([EAGAIN, ENOMEM, EMFILE, ENFILE, ENOBUFS]);

enum Phase {
  /** Until all first children wait for clients. */
  starting,
  running,
  /** Ordered to stop. */
  stopping,
}

export class Server extends (EventEmitter as new () => ServerEmitter) {
  /** Settles when everything is closed. Rejects if the server could not start or continue. */
  readonly ended: Promise<Ended>;
  private readonly options: ServeOptions;
  private readonly isBacklogShort: boolean;
  private phase = Phase.starting;
  /** What has ordered it to stop. */
  private stoppedBy: StopCause | undefined;
  /** Orders that came before the server was ready. */
  private readonly early = new Set<Order>();
  private currentUsers: readonly string[] = DEFAULT_USERS;
  // Set by open() and startSupervisor(), in this order.
  private address = "";
  private resources!: Resources;
  private logMonitor: LogMonitor | undefined;
  private orders!: Orders;
  private supervisor: Supervisor | undefined;

  private aborted = 0;
  private failedStarts = 0;
  /** The pause before the next try to start another supervisor. */
  private restart: NodeJS.Timeout | undefined;
  private failure: KiloforkError | undefined;
  private finish!: () => void;
  private readonly finished = new Promise<void>((resolve) => {
    this.finish = resolve;
  });
  private settle!: { resolve: (ended: Ended) => void; reject: (error: unknown) => void };

  /** Times are in milliseconds; an option that is missing has its default. Throws ERR_ARGUMENT. */
  constructor(options: Partial<ServeOptions> = {}) {
    super();
    this.options = completeOptions(options);
    const { backlog } = this.options;
    this.isBacklogShort = options.backlog === undefined && backlog < DEFAULT_BACKLOG;
    this.ended = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.ended.catch(() => {}); // a rejection that nobody waits for must not end the process
  }

  /** Users that may send requests now. */
  get users(): readonly string[] {
    return this.currentUsers;
  }

  /** 0 before one is started. */
  get supervisorPid(): number {
    return this.supervisor?.pid ?? 0;
  }

  /** Resolves when all first children wait for clients. Rejects if the server ends before that. */
  start(): Promise<Ready> {
    this.run().then(this.settle.resolve, this.settle.reject);
    return new Promise((resolve, reject) => {
      this.once("ready", resolve);
      const stopped = () =>
        reject(new KiloforkError("ERR_START", "the server was stopped before it was ready"));
      this.ended.then(stopped, reject);
    });
  }

  /** Stops the server: requests in work may finish within graceMs. A second call aborts them. */
  stop(by: StopCause = "program"): void {
    this.orderStop(this.stoppedBy ? "quit" : "stop", by);
  }

  /** Stops the server at once: aborts requests in work. */
  quit(by: StopCause = "program"): void {
    this.orderStop("quit", by);
  }

  // The event "answer" follows these orders. A server that starts carries them out when it is ready,
  // each once; one that stops ignores them.

  /** Reads the users again, and opens log and spawn log again if they were renamed. */
  reload(): void {
    this.order("reload");
  }

  /** Opens log and spawn log again if they were renamed. */
  reopen(): void {
    this.order("reopen");
  }

  /** Replaces all children, and the supervisor by the executable that is installed now. */
  replace(): void {
    this.order("replace");
  }

  private order(order: Order): void {
    if (this.phase === Phase.running) this.orders[order]();
    else this.early.add(order);
  }

  private orderStop(how: "stop" | "quit", by: StopCause): void {
    this.phase = Phase.stopping;
    this.stoppedBy ??= by;
    if (this.supervisor && !this.restart) {
      this.resources.scoreboard.setStopping();
      this.supervisor.stop(how);
    } else {
      clearTimeout(this.restart);
      this.finish();
    }
  }

  private async run(): Promise<Ended> {
    const { host, reportEveryMs } = this.options;
    const [address, ...others] = (await Promise.race([resolveHost(host), this.finished])) ?? [];
    if (address === undefined || this.stoppedBy) return this.end(0);
    await this.openWhenFree(address);
    if (this.stoppedBy) return this.end(0);
    if (others.length > 0) this.tell("unserved-addresses", { host, address, others });
    if (this.isBacklogShort) this.tell("backlog-short", { backlog: this.options.backlog });
    const everyMs = Math.min(reportEveryMs, LONGEST_TIMER_MS);
    const report = () => this.resources.reportTotal();
    const reporter = everyMs > 0 ? setInterval(report, everyMs) : undefined;
    const { segmentName: segment } = this.resources;
    let requests = 0;
    const watcher = setInterval(() => {
      if (isThere(segment)) return;
      clearInterval(watcher);
      this.tell("segment-removed", { segment });
    }, SEGMENT_SAMPLED_EVERY_MS);
    try {
      this.startSupervisor();
      await this.finished;
    } finally {
      clearInterval(reporter);
      clearInterval(watcher);
      requests = this.resources.scoreboard.total();
      this.resources.close();
    }
    if (this.failure) throw this.failure;
    const ended = this.end(requests);
    this.tell("stopped", ended);
    return ended;
  }

  private end(requests: number): Ended {
    return { by: this.stoppedBy ?? "supervisor", requests, aborted: this.aborted };
  }

  /** Opens all, after a predecessor that is ending. Opens nothing if the server is stopped meanwhile. */
  private async openWhenFree(address: string): Promise<void> {
    let deadline = Number.POSITIVE_INFINITY;
    for (let seenAt = performance.now(); !this.stoppedBy; ) {
      try {
        return this.open(address);
      } catch (error) {
        const isInUse = error instanceof KiloforkError && error.code === "ERR_IN_USE";
        const predecessor = isInUse ? findPredecessor(this.options) : undefined;
        const now = performance.now();
        if (predecessor) seenAt = now;
        // Its last process closes its descriptors a moment after the segment is gone.
        if (!isInUse || now > deadline || now > seenAt + GONE_WITHIN_MS) throw error;
        if (predecessor && deadline === Number.POSITIVE_INFINITY) {
          deadline = now + predecessor.withinMs;
          this.tell("waiting", predecessor);
        }
        await Promise.race([sleep(TRIED_EVERY_MS), this.finished]);
      }
    }
  }

  private open(address: string): void {
    const { options, tell } = this;
    this.address = address;
    if (options.usersFile !== undefined) this.currentUsers = readUsers(options.usersFile);
    requireRoom(options);
    if (options.runAs) requireCapabilities();
    if (!existsSync(supervisorPath))
      throw new KiloforkError("ERR_START", `the supervisor is not built: ${buildCommand}`);
    for (const name of listSegments()) Scoreboard.sweep(name);
    this.resources = new Resources(options, address, this.currentUsers, {
      onListening: (port) => tell("listening", { address, port }),
      onClosing: () => {
        tell("closing", {});
        this.logMonitor?.end();
      },
      onUnread: (bytes) => tell("log-unread", { bytes }),
      onWrite: (errno) => this.logMonitor?.written(errno),
    });
    const { logFiles, scoreboard } = this.resources;
    this.logMonitor = new LogMonitor(logFiles, tell, {
      onReopen: () => this.orders.broadcastLog(),
      onAbandon: () => scoreboard.abandonLog(),
      onReaderGone: () => {
        if (!this.stoppedBy) this.stop("log-reader");
      },
    });
    this.orders = new Orders({
      ...{ usersFile: options.usersFile, logFiles, scoreboard, tell },
      supervisor: () => this.supervisor as Supervisor,
      onUsers: (users) => {
        this.currentUsers = users;
      },
    });
    this.resources.recordStart();
  }

  // ---- the supervisor ---------------------------------------------------------------------------

  private startSupervisor(): void {
    const startedMs = Date.now();
    const { tell, options, resources } = this;
    const { scoreboard } = resources;
    const supervisor = new Supervisor(options, resources);
    this.supervisor = supervisor;
    supervisor
      .on("unfiltered", () => tell("unfiltered", {}))
      .on("up", (children, upMs) => this.childrenAreUp(children, upMs))
      .on("stopping", () => {
        this.phase = Phase.stopping;
        tell("stopping", {});
      })
      .on("stopped", (aborted) => {
        this.aborted = aborted;
      })
      .on("fork-failed", (errno, alive) => this.forkFailed(errno, alive))
      .on("lockdown-refused", (errno) => {
        this.failure = lockdownError(errno);
        this.phase = Phase.stopping;
      })
      .on("back-off", (ms) => tell("back-off", { ms }))
      .on("growth-limit", (limit) =>
        tell("growth-limit", { limit, maxChildren: options.maxChildren }),
      )
      .on("accept-error", (errno) =>
        errno === 0 ? tell("accept-recovered", {}) : tell("accept-failing", { errno }),
      )
      .on("log-error", (errno) => this.logMonitor?.written(errno))
      .on("sync-failed", (errno) => {
        if (scoreboard.header().logDead) this.logMonitor?.syncFailed(errno);
      })
      .on("log-settled", (ms) => tell("log-settled", { ms }))
      .on("replaced", () => tell("replaced", {}))
      .on("exec-failed", (errno) => this.orders.replaceFailed(errno))
      .on("deserted", () => supervisor.once("ended", killOrphansLater(scoreboard)))
      .on("ended", (how) => this.supervisorEnded(how, Date.now() - startedMs));
  }

  private childrenAreUp(children: number, upMs: number): void {
    if (this.phase === Phase.stopping) return; // ordered to stop before they were up
    const again = this.phase === Phase.running;
    this.phase = Phase.running;
    this.failedStarts = 0;
    const { address, resources } = this;
    if (again) {
      this.tell("ready-again", { children });
      return;
    }
    resources.scoreboard.setReady();
    this.tell("ready", { children, address, port: resources.port, upMs });
    for (const order of this.early) this.orders[order]();
  }

  private forkFailed(errno: number, alive: number): void {
    if (this.phase === Phase.starting) {
      this.failure = forkError(errno, alive, this.options.runAs?.uid);
      this.stop();
    } else {
      this.tell("fork-failed", { errno, alive, uid: this.options.runAs?.uid });
    }
  }

  /** All its children have ended, too. Starts another supervisor, unless the server stops. */
  private supervisorEnded(how: string, lifeMs: number): void {
    const { scoreboard, logFiles } = this.resources;
    const orphans = recordOrphans(scoreboard, logFiles);
    // The last lines of the supervisor may have been lost; the shared memory says the same.
    const { stopping, aborted } = scoreboard.header();
    if (stopping) this.phase = Phase.stopping;
    this.aborted = Math.max(this.aborted, aborted);
    this.tell("supervisor-ended", { how, orphans, stopping: this.phase === Phase.stopping });
    if (this.phase === Phase.stopping) {
      this.aborted += orphans;
      this.finish();
      return;
    }
    this.failedStarts = lifeMs < START_MS ? this.failedStarts + 1 : 0;
    if (this.failedStarts >= MOST_FAILED_STARTS) {
      this.fail(`the supervisor died ${this.failedStarts} times in a row at its start (${how})`);
      return;
    }
    this.startAnother();
  }

  /** Tries again, with growing pauses, while the machine has no process or memory to spare. */
  private startAnother(pauseMs = FIRST_PAUSE_MS): void {
    this.restart = undefined;
    try {
      this.startSupervisor();
    } catch (error) {
      const { errno = 0, message } = error as NodeJS.ErrnoException;
      if (!PASSING_ERRORS.has(Math.abs(errno))) {
        this.fail(`no other supervisor could be started: ${message}`);
        return;
      }
      this.forkFailed(Math.abs(errno), 0);
      const nextPauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      this.restart = setTimeout(() => this.startAnother(nextPauseMs), pauseMs);
    }
  }

  /** No supervisor is left. */
  private fail(message: string): void {
    this.failure = new KiloforkError("ERR_START", message);
    this.finish();
  }

  /** Typed, and bound to this server. */
  private readonly tell: Tell = (event, data) => {
    (this as EventEmitter).emit(event, data);
  };
}
