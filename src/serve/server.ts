/**
 * The front: the one process of a server that runs JavaScript. It creates what the server owns
 * (shared memory, listening socket, log), starts the supervisor, reports, and outlives it: a
 * supervisor that dies is replaced on the same socket. It serves no client itself; while it is
 * stopped (SIGSTOP), nobody waits for it.
 *
 * `run` reads as the life of a server: open, start, report, until it is over, close.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, fchownSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { whereIs } from "../base/address";
import type { GrowthLimit, Order } from "../base/enumerations";
import { KiloforkError, nameOfErrno } from "../base/errors";
import { supervisorPath } from "../base/paths";
import { DEFAULT_USERS } from "../base/protocol";
import { resolveHost } from "../base/resolve";
import { LONGEST_TIMER_MS, plural, showCount, showDuration, writeDuration } from "../base/units";
import { version } from "../base/version";
import { EXIT } from "../command/exit";
import { nearestProcessLimit, problemsOfServer, readMachine } from "../machine/capacity";
import { compatibility, notify, reapStranger } from "../native/processes";
import { Scoreboard } from "../native/scoreboard";
import { listSegments } from "../native/segments";
import { complain } from "./complain";
import { LogFiles } from "./log-files";
import { LogMonitor } from "./log-monitor";
import { openListener } from "./open";
import type { ServeOptions } from "./options";
import { killOrphan } from "./orphans";
import { Supervisor } from "./supervisor";
import { Terminal } from "./terminal";
import { MOST_USERS, readUsers } from "./users";

/** A supervisor that lives shorter than this has died at birth; several of them, and we give up. */
const BIRTH_MS = 1000;
const BIRTHS_TRIED = 5;

/** For children that are stopped, or stuck in the kernel, when their supervisor dies. */
const ORPHANS_LEAVE_WITHIN_MS = 3000;

const COMPATIBILITY_TOLD_WITHIN_MS = 2000;
const MAXIMUM_SAID_EVERY_MS = 60_000;

type Phase = "starting" | "running" | "stopping";

export class Front {
  private phase: Phase = "starting";
  // Set by open() and startSupervisor(), in this order: a start that fails has had some of them.
  private listener!: { fd: number; port: number };
  private logFiles!: LogFiles;
  private logMonitor!: LogMonitor;
  private pidFileWritten = false;
  private scoreboard!: Scoreboard;
  private supervisor!: Supervisor;
  private address = "";
  private users: readonly string[] = DEFAULT_USERS;
  private reportedTotal = 0;
  private aborted = 0;
  private births = 0;
  private trouble = "";
  private saidMaximumAt = 0;
  private toldToStop = false;
  private readonly segmentName = `/kilofork-${process.pid}-${randomBytes(4).toString("hex")}`;
  private finish!: () => void;
  private readonly finished = new Promise<void>((resolve) => {
    this.finish = resolve;
  });

  constructor(private readonly options: ServeOptions) {}

  /** Serves until it is told to stop; the exit code. */
  async run(): Promise<number> {
    this.handleSignals();
    try {
      await this.open();
      this.startSupervisor();
      const everyMs = Math.min(this.options.reportEveryMs, LONGEST_TIMER_MS);
      const reporter = everyMs > 0 ? setInterval(() => this.reportTotal(), everyMs) : undefined;
      await this.finished;
      clearInterval(reporter);
    } finally {
      this.close();
    }
    if (this.trouble) throw new KiloforkError("ERR_START", this.trouble);
    return this.aborted > 0 ? EXIT.no : EXIT.yes;
  }

  // ---- open and close ---------------------------------------------------------------------------

  /** The shared memory comes last: it alone would outlive this process. */
  private async open(): Promise<void> {
    const { options } = this;
    const [address] = await resolveHost(options.host);
    this.address = address ?? "";
    if (options.usersFile !== undefined) this.users = readUsers(options.usersFile);
    const { max: children, start } = options.pool;
    const option = start === children ? "--children" : "--max-children";
    const need = { children, option, backlog: options.backlog };
    const problems = problemsOfServer(readMachine(), need);
    if (problems.length > 0) throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"));
    for (const name of listSegments()) Scoreboard.sweep(name);

    this.listener = openListener(this.address, options);
    this.logFiles = new LogFiles(
      options,
      (errno) => this.logMonitor.written(errno),
      (by) => this.scoreboard.addPendingEnds(by),
    );
    this.logMonitor = new LogMonitor(this.logFiles, () => this.turnToLog());
    if (options.pidFile !== undefined) this.writePidFile(options.pidFile);
    this.scoreboard = new Scoreboard(this.segmentName, {
      users: MOST_USERS,
      host: options.host,
      address: this.address,
      port: this.listener.port,
      backlog: options.backlog,
      limits: options.pool,
      synced: options.ack === "synced",
      log: options.log === "-" ? "-" : resolve(options.log),
      release: version,
    });
    if (options.runAs) {
      const { uid, gid } = options.runAs;
      fchownSync(this.scoreboard.fd, uid, gid); // so that the last of its children can remove it
    }
    this.scoreboard.setUsers(this.users);
    this.logFiles.record("Server init");
    this.logFiles.record(
      `front ${process.pid} at ${this.where()}, kilofork ${version}, UTC${utcOffset(new Date())}`,
    );
  }

  private writePidFile(path: string): void {
    try {
      writeFileSync(path, `${process.pid}\n`);
      this.pidFileWritten = true;
    } catch (error) {
      throw new KiloforkError(
        "ERR_ARGUMENT",
        `cannot write the pid file: ${(error as Error).message}`,
      );
    }
  }

  /** Undoes as much as was opened. */
  private close(): void {
    if (this.options.stopAtEof) process.stdin.destroy();
    if (this.scoreboard) {
      this.reportTotal(true);
      this.scoreboard.closeTornHeads(this.logFiles.log);
      // An end says that nothing is missing.
      this.logFiles.writePending();
      if (this.scoreboard.header().pendingEnds === 0) this.logFiles.record("Server stop");
      Scoreboard.remove(this.segmentName); // first: one that nobody holds is a killed server's
      this.scoreboard.close();
    }
    if (this.pidFileWritten) rmSync(this.options.pidFile ?? "", { force: true });
    this.logMonitor?.end();
    if (this.listener) closeSync(this.listener.fd);
    this.logFiles?.close();
  }

  // ---- the supervisor ---------------------------------------------------------------------------

  private startSupervisor(): void {
    const born = Date.now();
    this.supervisor = new Supervisor(this.options, {
      segmentName: this.segmentName,
      listener: this.listener.fd,
      log: this.logFiles.log.fd,
      spawnLog: this.logFiles.spawnLog,
      scoreboard: this.scoreboard,
    });
    this.supervisor
      .on("unfiltered", () =>
        complain(
          "built without the filter of system calls (KILOFORK_UNFILTERED): a child that is taken over can open files, run programs and connect as its user",
        ),
      )
      .on("up", (children, ms) => this.announce(children, ms))
      .on("stopping", () => {
        this.phase = "stopping";
        notify("STOPPING=1");
      })
      .on("stopped", (aborted) => {
        this.aborted = aborted;
      })
      .on("fork-failed", (errno, alive) => this.forkFailed(errno, alive))
      .on("back-off", (ms) =>
        complain(`a child died before it could accept; the next is forked in ${ms} ms`),
      )
      .on("growth-limit", (limit) => this.growthLimited(limit))
      .on("log-error", (errno) => this.logMonitor.written(errno))
      .on("sync-failed", (errno) => {
        if (this.scoreboard.header().logDead) this.logMonitor.syncFailed(errno);
      })
      .on("log-settled", (ms) =>
        complain(`log reopened; the last child left the old one after ${showDuration(ms)}`),
      )
      .on("replaced", () => complain("all children have been replaced"))
      .on("exec-failed", (errno) =>
        this.answer(
          "replace",
          false,
          `the new supervisor could not be taken on (${nameOfErrno(errno)}): the children are replaced by the old one`,
        ),
      )
      .on("deserted", () => this.awaitOrphans())
      .on("gone", (how) => this.supervisorGone(how, Date.now() - born));
  }

  private announce(children: number, ms: number): void {
    if (this.phase === "stopping") return; // told to stop before it was up: there is no banner
    const again = this.phase === "running";
    this.phase = "running";
    this.births = 0;
    notify("READY=1");
    if (again) {
      complain(`${children} children are up again`);
      return;
    }
    const { host, log, work } = this.options;
    // With the log on standard output, the banner must not stand among the records.
    const banner = log === "-" ? process.stderr : process.stdout;
    banner.write(`Running with ${children} children on host:port ${host}:${this.listener.port}\n`);
    const doing = work.kind === "none" ? "none" : `${work.kind}:${writeDuration(work.durationMs)}`;
    complain(
      `listening on ${this.where()}; work ${doing}; users ${nameSome(this.users)}; log ${log}; children up in ${ms.toFixed(0)} ms`,
    );
  }

  private forkFailed(errno: number, alive: number): void {
    const error = nameOfErrno(errno);
    const why = `fork failed with ${error} beside ${plural(alive, "child", "children")}; the nearest limit is ${nearestProcessLimit(readMachine())}`;
    if (this.phase !== "starting") {
      complain(`${why}; trying again`);
      return;
    }
    this.trouble = `${why}; use fewer children or raise it`;
    this.stop();
  }

  /** The children are leaving by themselves, but for those that are stopped and cannot hear it. */
  private awaitOrphans(): void {
    const timer = setTimeout(() => {
      for (const { pid } of this.scoreboard.snapshot()) killOrphan(pid);
      const { sync, forker } = this.scoreboard.header();
      killOrphan(sync.syncer);
      killOrphan(forker);
    }, ORPHANS_LEAVE_WITHIN_MS);
    timer.unref();
    this.supervisor.once("gone", () => clearTimeout(timer));
  }

  /** It has ended, and all its children with it. Unless that was the plan, another one takes over. */
  private supervisorGone(how: string, lifeMs: number): void {
    this.reapStrangers(); // until now, the supervisor itself was in the way
    const orphans = this.recordOrphans();
    const { stopping, aborted } = this.scoreboard.header(); // its own words may have been lost
    if (stopping) this.phase = "stopping";
    this.aborted = Math.max(this.aborted, aborted);
    if (this.phase === "stopping") {
      this.aborted += orphans;
      this.finish();
      return;
    }
    complain(`the supervisor is gone (${how}), and ${orphans} children with it; starting another`);
    this.births = lifeMs < BIRTH_MS ? this.births + 1 : 0;
    if (this.births >= BIRTHS_TRIED) {
      this.trouble = `the supervisor died ${this.births} times in a row at its start (${how})`;
      this.finish();
      return;
    }
    try {
      this.startSupervisor();
    } catch (error) {
      this.trouble = `no other supervisor could be started: ${(error as Error).message}`;
      this.finish();
    }
  }

  /** Who still had a slot has ended abnormally; the records say so, in the supervisor's place. */
  private recordOrphans(): number {
    let count = 0;
    for (const [index, slot] of this.scoreboard.snapshot().entries()) {
      if (slot.state === "vacant") continue;
      if (slot.pid > 0) this.logFiles.recordOrphan(slot.pid, index);
      this.scoreboard.vacate(index);
      count++;
    }
    this.scoreboard.countOrphans();
    return count;
  }

  // ---- signals ----------------------------------------------------------------------------------

  private handleSignals(): void {
    const terminal = new Terminal();
    process.on("SIGTERM", () => this.stop());
    process.on("SIGINT", () => this.stop());
    process.on("SIGQUIT", () => this.stop("quit"));
    process.on("SIGHUP", () => {
      if (terminal.hasHungUp()) {
        terminal.letGo();
        this.stop();
      } else {
        this.carryOut(
          "reload",
          () => this.reloadUsers(),
          () => this.reopenLog(),
          () => this.reopenSpawnLog(),
        );
      }
    });
    process.on("SIGUSR1", () =>
      this.carryOut(
        "reopen",
        () => this.reopenLog(),
        () => this.reopenSpawnLog(),
      ),
    );
    process.on("SIGUSR2", () => this.carryOut("replace", () => this.replaceChildren()));
    if (this.options.stopAtEof) process.stdin.resume().once("end", () => this.stop());
    // A reader of ours that has gone away. With the log on standard output, Node must not touch that:
    // it would make a pipe non-blocking, for the children too.
    if (this.options.log !== "-") process.stdout.on("error", () => {});
    process.stderr.on("error", () => {});
    process.on("SIGCHLD", () => this.reapStrangers());
    process.on("SIGXFSZ", () => {}); // a file may not grow: the write fails, and that is handled
  }

  /** As process 1 of a container, the front inherits orphans. Its own supervisor is not among them. */
  private reapStrangers(): void {
    if (process.pid !== 1) return;
    while (reapStranger(this.supervisor?.pid ?? 0));
  }

  /** A second order, or "quit", ends the requests in work. */
  private stop(how: "stop" | "quit" = "stop"): void {
    if (!this.supervisor) {
      // Nothing has been started yet: `run` has nothing to undo but what the kernel undoes.
      process.exit(EXIT.yes);
    }
    this.phase = "stopping";
    this.scoreboard.setStopping();
    this.supervisor.order(this.toldToStop ? "quit" : how);
    this.toldToStop = true;
  }

  /**
   * What a signal asked for, each part for itself; what became of it is said here and in the shared
   * memory. A part that had nothing to do says nothing.
   */
  private carryOut(order: Order, ...parts: readonly (() => string)[]): void {
    if (this.phase !== "running") return;
    let ok = true;
    const said = parts.map((part) => {
      try {
        return part();
      } catch (error) {
        ok = false;
        return (error as Error).message;
      }
    });
    this.answer(order, ok, said.filter((text) => text !== "").join("; "));
  }

  private answer(order: Order, ok: boolean, text: string): void {
    complain(text);
    this.scoreboard.setAnswer(order, ok, text);
  }

  private reloadUsers(): string {
    const { usersFile } = this.options;
    if (usersFile === undefined) return "no users file to read (--users)";
    try {
      this.users = readUsers(usersFile);
    } catch (error) {
      throw new Error(`users kept as they were: ${(error as Error).message}`);
    }
    this.scoreboard.setUsers(this.users);
    return `users read again: ${nameSome(this.users)}`;
  }

  /** The children get the descriptor: they may not be allowed to open the file. */
  private reopenLog(): string {
    try {
      if (!this.logFiles.reopenLog()) return "the log is still the same file";
    } catch (error) {
      throw new Error(`log kept as it was: ${(error as Error).message}`);
    }
    this.turnToLog();
    return "log opened again";
  }

  private turnToLog(): void {
    this.scoreboard.setLogNumber(this.logFiles.number);
    this.supervisor.order(`log ${this.scoreboard.orderLog()}`, this.logFiles.log.fd);
  }

  private reopenSpawnLog(): string {
    try {
      if (!this.logFiles.reopenSpawnLog()) return "";
    } catch (error) {
      throw new Error(`spawn log kept as it was: ${(error as Error).message}`);
    }
    this.supervisor.order("spawn-log", this.logFiles.spawnLog);
    return "spawn log opened again";
  }

  /** Also by a new executable of the supervisor, unless that could not go on from the running one. */
  private replaceChildren(): string {
    const { stdout } = spawnSync(supervisorPath, ["--compatibility"], {
      encoding: "utf8",
      timeout: COMPATIBILITY_TOLD_WITHIN_MS,
      killSignal: "SIGKILL",
    });
    const compatible = stdout?.trim() === compatibility();
    this.supervisor.order(compatible ? `replace ${supervisorPath}` : "replace");
    return compatible
      ? "replacing the supervisor and all children"
      : `replacing all children; the supervisor stays, since ${supervisorPath} cannot take over: start anew to change it`;
  }

  // ---- reports ----------------------------------------------------------------------------------

  private reportTotal(last = false): void {
    const total = this.scoreboard.total();
    if (total === this.reportedTotal && !last) return;
    if (this.logFiles.record(`total requests ${total}`)) this.reportedTotal = total;
  }

  private growthLimited(limit: GrowthLimit): void {
    const { max } = this.options.pool;
    if (limit === "memory") complain("too little memory is left: no more children for now");
    if (limit !== "maximum" || Date.now() - this.saidMaximumAt < MAXIMUM_SAID_EVERY_MS) return;
    this.saidMaximumAt = Date.now();
    complain(`all ${showCount(max)} children are busy, and clients wait`);
  }

  private where(): string {
    return whereIs({ address: this.address, port: this.listener.port });
  }
}

function nameSome(users: readonly string[]): string {
  const SOME = 3;
  const rest = users.length - SOME;
  return users.slice(0, SOME).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** `+01:00`. */
function utcOffset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const two = (n: number) => String(Math.floor(n)).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}
