/**
 * The front's handle on its supervisor: starts it, sends it settings and orders as lines, and tells
 * what it says. The supervisor's side is native/core/control.hpp and pool.hpp.
 */
import { EventEmitter } from "node:events";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { GrowthLimit } from "../base/enumerations";
import { supervisorPath } from "../base/paths";
import { GREETING, REPLY, refusalLines } from "../base/protocol";
import { BYTES_PER_CHILD, MEMORY_RESERVE } from "../machine/capacity";
import { reap, sendControl, startSupervisor } from "../native/processes";
import type { Scoreboard } from "../native/scoreboard";
import type { ServeOptions } from "./options";

/** How long a refused client gets to read why. */
const LINGER_MS = 1000;
/** After a child that died before it could accept, before the next fork: doubled up to the most. */
const FIRST_BACK_OFF_MS = 100;
const LONGEST_BACK_OFF_MS = 5000;

interface Events {
  /** It was built without the filter of system calls. */
  unfiltered: [];
  /** The first children are all up: how many, and after how long. */
  up: [children: number, ms: number];
  /** It began to stop, by whosever order. */
  stopping: [];
  /** All children are gone; so many requests were cut. */
  stopped: [aborted: number];
  "fork-failed": [errno: number, alive: number];
  "back-off": [ms: number];
  /** What the pool is held back by now. */
  "growth-limit": [limit: GrowthLimit];
  /** Records of children can no longer be written, or again: 0. */
  "log-error": [errno: number];
  /** Nothing in the log can be acknowledged any more: an errno value. */
  "sync-failed": [errno: number];
  /** The last child has turned to the reopened log. */
  "log-settled": [ms: number];
  /** The last child of an older epoch has left. */
  replaced: [];
  /** The new executable could not be taken on; the old one goes on. */
  "exec-failed": [errno: number];
  /** It is gone; its children are about to follow. */
  deserted: [];
  /** It is gone, and so is every child of its. `how` is how it ended, in words. */
  gone: [how: string];
}

export class Supervisor extends EventEmitter<Events> {
  readonly pid: number;
  private readonly control: Socket;
  private readonly controlFd: number;
  private readonly lifeline: Socket;

  constructor(
    options: ServeOptions,
    parts: {
      segmentName: string;
      listener: number;
      log: number;
      spawnLog: number;
      scoreboard: Scoreboard;
    },
  ) {
    super();
    const started = startSupervisor({
      executable: supervisorPath,
      segmentName: parts.segmentName,
      listener: parts.listener,
      log: parts.log,
      segment: parts.scoreboard.fd,
      spawnLog: parts.spawnLog,
      runAs: options.runAs,
    });
    this.pid = started.pid;
    this.controlFd = started.control;
    this.control = new Socket({ fd: started.control, readable: true, writable: false });
    this.lifeline = new Socket({ fd: started.lifeline, readable: true, writable: false });
    const lines = createInterface({ input: this.control }).on("line", (line) => this.hear(line));
    // One that dies without having read all that it was sent resets the socket: then there is no end.
    lines.on("error", () => this.emit("deserted")); // the socket's error, passed on
    this.control.once("end", () => this.emit("deserted"));
    this.lifeline.on("error", () => {});
    // The lifeline ends when the last process that inherited it has ended: nobody is left.
    this.lifeline.resume().once("close", () => this.awaitExit());
    for (const line of settingsOf(options)) this.order(line);
    this.order(`log-epoch ${parts.scoreboard.header().logOrdered}`); // of the log it has
    this.order("start");
  }

  /** An order, with a descriptor that goes along. */
  order(line: string, passedFd?: number): void {
    if (!this.control.destroyed) sendControl(this.controlFd, line, passedFd);
  }

  private hear(line: string): void {
    const [word, first, second] = line.split(" ");
    if (word === "unfiltered") this.emit("unfiltered");
    if (word === "up") this.emit("up", Number(first), Number(second) / 1e6);
    if (word === "stopping") this.emit("stopping");
    if (word === "stopped") this.emit("stopped", Number(first));
    if (word === "fork-failed") this.emit("fork-failed", Number(first), Number(second));
    if (word === "back-off") this.emit("back-off", Number(first));
    if (word === "growth-limit") this.emit("growth-limit", first as GrowthLimit);
    if (word === "log-error") this.emit("log-error", Number(first));
    if (word === "sync-failed") this.emit("sync-failed", Number(first));
    if (word === "log-settled") this.emit("log-settled", Number(first) / 1e6);
    if (word === "replaced") this.emit("replaced");
    if (word === "exec-failed") this.emit("exec-failed", Number(first));
  }

  /** Its process closes the lifeline a moment before it can be reaped. */
  private awaitExit(): void {
    const status = reap(this.pid);
    if (status === null) {
      setTimeout(() => this.awaitExit(), 1);
      return;
    }
    this.control.destroy();
    this.emit("gone", "signal" in status ? `signal ${status.signal}` : `exit ${status.exit}`);
  }
}

function settingsOf(options: ServeOptions): string[] {
  const nanoseconds = (ms: number) => Math.round(ms * 1e6);
  const { work, pool } = options;
  return [
    work.kind === "none" ? "work none" : `work ${work.kind} ${nanoseconds(work.durationMs)}`,
    `ack ${options.ack}`,
    `work-timeout ${nanoseconds(options.workTimeoutMs)}`,
    `max-per-address ${options.maxConnectionsPerAddress}`,
    `max-requests ${options.maxRequests}`,
    `max-requests-jitter ${options.maxRequestsJitter}`,
    `start-children ${pool.start}`,
    `min-spare ${pool.minSpare}`,
    `max-spare ${pool.maxSpare}`,
    `max-children ${pool.max}`,
    `shrink-after ${nanoseconds(pool.shrinkAfterMs)}`,
    `bytes-per-child ${BYTES_PER_CHILD}`,
    `memory-reserve ${MEMORY_RESERVE}`,
    `max-line ${options.maxLine}`,
    `idle-timeout ${nanoseconds(options.idleTimeoutMs)}`,
    `read-timeout ${nanoseconds(options.readTimeoutMs)}`,
    `write-timeout ${nanoseconds(options.writeTimeoutMs)}`,
    `linger-timeout ${nanoseconds(LINGER_MS)}`,
    `grace ${nanoseconds(options.graceMs)}`,
    `first-back-off ${nanoseconds(FIRST_BACK_OFF_MS)}`,
    `longest-back-off ${nanoseconds(LONGEST_BACK_OFF_MS)}`,
    `greeting ${GREETING}`,
    `reply ${REPLY}`,
    ...Object.entries(refusalLines(options.maxLine)).map(
      ([code, line]) => `refusal ${code} ${line}`,
    ),
  ];
}
