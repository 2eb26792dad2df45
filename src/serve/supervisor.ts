/**
 * The front's side of the control channel: starts the supervisor, sends it settings and orders as
 * lines, and turns its lines into events. The other side: native/core/supervisor/{control,pool}.hpp.
 */
import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { GrowthLimit } from "../base/enumerations";
import { isSystemError, KiloforkError } from "../base/errors";
import { supervisorPath } from "../base/paths";
import {
  reap,
  type StartedSupervisor,
  type SupervisorOptions,
  sendControl,
  startSupervisor,
} from "../native/processes";
import type { ServeOptions } from "./options";
import type { Resources } from "./resources";
import { nameOfUser } from "./run-as";
import { settingLines } from "./settings";

/** Throws a SystemError, or ERR_ARGUMENT if the user of --run-as may not execute the file. */
function start({ runAs }: ServeOptions, how: SupervisorOptions): StartedSupervisor {
  try {
    return startSupervisor(how);
  } catch (error) {
    if (!runAs || !isSystemError(error) || error.code !== "EACCES") throw error;
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--run-as: ${nameOfUser(runAs.uid)} may not execute ${how.executable}: let that user read it and enter its folders, or install it elsewhere`,
      { cause: error, errno: error.errno },
    );
  }
}

interface Events {
  /** It was built without the filter of system calls. */
  unfiltered: [];
  /** All first children wait for clients: their number, and the time since the start. */
  up: [children: number, ms: number];
  /** It has begun to stop, by an order or a signal. */
  stopping: [];
  /** All children have ended; so many requests were aborted. */
  stopped: [aborted: number];
  "fork-failed": [errno: number, alive: number];
  /** The kernel refuses the filter of system calls. It ends next. */
  "lockdown-refused": [errno: number];
  "back-off": [ms: number];
  /** The growth limit has changed. */
  "growth-limit": [limit: GrowthLimit];
  /** A child cannot accept clients, or one can again (0). */
  "accept-error": [errno: number];
  /** A record of a child could not be written, or can be again (0). */
  "log-error": [errno: number];
  /** The log could not be synced. */
  "sync-failed": [errno: number];
  /** The last child has taken the reopened log. */
  "log-settled": [ms: number];
  /** The last child of an older epoch has left. */
  replaced: [];
  /** The new executable could not be started; the old one continues. */
  "exec-failed": [errno: number];
  /** It has closed the channel, as it does when it ends. Its children end next. */
  deserted: [];
  /** It and all its children have ended: `signal 9`, `exit 1`. */
  ended: [how: string];
}

/** Orders that the socket has no room for, as when the supervisor is stopped, are tried again. */
const TRIED_EVERY_MS = 10;
/** Of these, the last one says all. Settings are no orders. */
const REPLACEABLE = ["log", "spawn-log", "replace", "stop", "quit"];

interface Line {
  readonly text: string;
  readonly passedFd: number | undefined;
}
/** It kills children that do not quit within 2 s. */
const QUITS_WITHIN_MS = 4000;

export class Supervisor extends EventEmitter<Events> {
  readonly pid: number;
  private readonly control: Socket;
  private readonly controlFd: number;
  private readonly lifeline: Socket;
  /** Lines that are not sent yet. */
  private waiting: Line[] = [];
  private retry: NodeJS.Timeout | undefined;
  private isReaped = false;
  private killer: NodeJS.Timeout | undefined;

  constructor(options: ServeOptions, { segmentName, listener, logFiles, scoreboard }: Resources) {
    super();
    const started = start(options, {
      executable: supervisorPath,
      segmentName,
      listener,
      log: logFiles.log.fd,
      logReader: logFiles.log.reader,
      segment: scoreboard.fd,
      spawnLog: logFiles.spawnLog,
      runAs: options.runAs,
    });
    this.pid = started.pid;
    this.controlFd = started.control;
    this.control = new Socket({ fd: started.control, readable: true, writable: false });
    this.lifeline = new Socket({ fd: started.lifeline, readable: true, writable: false });
    const lines = createInterface({ input: this.control }).on("line", (line) => this.receive(line));
    // A supervisor that dies before it has read all lines resets the socket: an error, and no end.
    lines.on("error", () => this.emit("deserted")); // readline emits the socket's error
    this.control.once("end", () => this.emit("deserted"));
    this.lifeline.on("error", () => {});
    // The lifeline ends when the last process that inherited it has ended.
    this.lifeline.resume().once("close", () => this.awaitExit());
    const { logOrdered } = scoreboard.header();
    for (const line of settingLines(options, logOrdered, logFiles.log.isSpooled))
      this.waiting.push({ text: line, passedFd: undefined });
    this.order("start");
  }

  /**
   * Orders it to stop, or to quit. It continues if it is stopped. One that does not quit is killed:
   * it is stuck, or is stopped again.
   */
  stop(how: "stop" | "quit"): void {
    this.order(how);
    this.signal("SIGCONT");
    if (how === "quit")
      this.killer ??= setTimeout(() => this.signal("SIGKILL"), QUITS_WITHIN_MS).unref();
  }

  /** Until it is reaped, no other process has its pid. */
  private signal(name: NodeJS.Signals): void {
    if (!this.isReaped) process.kill(this.pid, name);
  }

  /**
   * Sends a line, with a descriptor if one is given, as soon as the socket has room. An order takes
   * the place of one of the same kind that still waits: so few of them wait, and their descriptors are
   * open. Does nothing if the supervisor is gone.
   */
  order(text: string, passedFd?: number): void {
    const [kind = ""] = text.split(" ", 1);
    if (REPLACEABLE.includes(kind))
      this.waiting = this.waiting.filter((line) => line.text.split(" ", 1)[0] !== kind);
    this.waiting.push({ text, passedFd });
    this.send();
  }

  private send(): void {
    clearTimeout(this.retry);
    if (this.control.destroyed) this.waiting = [];
    for (let line = this.waiting[0]; line; line = this.waiting[0]) {
      if (!sendControl(this.controlFd, line.text, line.passedFd)) {
        this.retry = setTimeout(() => this.send(), TRIED_EVERY_MS);
        return;
      }
      this.waiting.shift();
    }
  }

  private receive(line: string): void {
    const [word, first, second] = line.split(" ");
    if (word === "unfiltered") this.emit("unfiltered");
    if (word === "up") this.emit("up", Number(first), Number(second) / 1e6);
    if (word === "stopping") this.emit("stopping");
    if (word === "stopped") this.emit("stopped", Number(first));
    if (word === "fork-failed") this.emit("fork-failed", Number(first), Number(second));
    if (word === "lockdown-refused") this.emit("lockdown-refused", Number(first));
    if (word === "back-off") this.emit("back-off", Number(first));
    if (word === "growth-limit") this.emit("growth-limit", first as GrowthLimit);
    if (word === "accept-error") this.emit("accept-error", Number(first));
    if (word === "log-error") this.emit("log-error", Number(first));
    if (word === "sync-failed") this.emit("sync-failed", Number(first));
    if (word === "log-settled") this.emit("log-settled", Number(first) / 1e6);
    if (word === "replaced") this.emit("replaced");
    if (word === "exec-failed") this.emit("exec-failed", Number(first));
  }

  /** Polls, since a process closes its descriptors a moment before it can be reaped. */
  private awaitExit(): void {
    const status = reap(this.pid);
    if (status === null) {
      setTimeout(() => this.awaitExit(), 1);
      return;
    }
    this.isReaped = true;
    clearTimeout(this.killer);
    this.control.destroy();
    clearTimeout(this.retry);
    this.emit("ended", "signal" in status ? `signal ${status.signal}` : `exit ${status.exit}`);
  }
}
