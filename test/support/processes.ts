/**
 * Finds the processes of servers that this process started: those with a tag in their environment, and
 * those that are in the session of such a server's supervisor or hold its shared memory. The forker
 * leaves its children no environment, and only root may look into them. proc_pid_environ(5)
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** 0 if there is no such process. */
export function parentOf(pid: number): number {
  try {
    const [, parent] = /\) \w (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
    return Number(parent);
  } catch {
    return 0;
  }
}

export class TaggedProcesses {
  private readonly tag: string;
  private readonly fronts: number[] = [];
  /** Of supervisors that were seen, and whether they are ours: forkers and children stay in them. */
  private readonly sessions = new Map<number, boolean>();
  private isUsed = false;

  /** `name` is the name of the environment variable. */
  constructor(private readonly name: string) {
    this.tag = `${process.pid}-${randomBytes(6).toString("hex")}`;
  }

  /** The environment that a process is to be started with. */
  get environment(): Record<string, string> {
    this.isUsed = true;
    return { [this.name]: this.tag };
  }

  /** Finds the processes of this server as well, by its front, whose supervisor runs. */
  add(front: number): void {
    this.fronts.push(front);
    this.learnSessions(statsOfAll());
  }

  /** Removes the fronts that were added, and returns them. */
  removeFronts(): number[] {
    this.sessions.clear();
    return this.fronts.splice(0);
  }

  /** The pids; `wanted` chooses by the name of the process. */
  list(wanted = /./): number[] {
    if (!this.isUsed) return [];
    const alive = statsOfAll();
    this.learnSessions(alive);
    return alive
      .filter((stat) => wanted.test(stat.name) && this.isOurs(stat))
      .map(({ pid }) => pid);
  }

  /** False also for a zombie, and for a process that has ended. */
  has(pid: number): boolean {
    const stat = statOf(pid);
    return stat !== undefined && this.isOurs(stat);
  }

  private learnSessions(alive: readonly Stat[]): void {
    for (const { pid, name, parent } of alive) {
      if (name !== SUPERVISOR || this.sessions.has(pid)) continue;
      const isOfOurs = this.fronts.includes(parent) || this.isTagged(parent);
      this.sessions.set(pid, isOfOurs || this.isTagged(pid) || this.holdsSegment(pid));
    }
  }

  private isOurs({ pid, name, session }: Stat): boolean {
    if (!name.startsWith("kilofork-")) return this.isTagged(pid);
    return this.sessions.get(session) ?? (this.isTagged(pid) || this.holdsSegment(pid));
  }

  private isTagged(pid: number): boolean {
    try {
      const variables = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
      return variables.includes(`${this.name}=${this.tag}`);
    } catch {
      return false; // it has ended, or belongs to another user
    }
  }

  private holdsSegment(pid: number): boolean {
    const folder = `/proc/${pid}/fd`;
    try {
      return readdirSync(folder).some((fd) => {
        const path = readlinkSync(join(folder, fd));
        return this.fronts.some((front) => path.startsWith(`/dev/shm/kilofork-${front}-`));
      });
    } catch {
      return false; // likewise, or only root may look
    }
  }
}

/** As the kernel shortens it. */
const SUPERVISOR = "kilofork-superv";

interface Stat {
  readonly pid: number;
  readonly name: string;
  readonly parent: number;
  readonly session: number;
}

function statsOfAll(): Stat[] {
  const pids = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry));
  const others = pids.map(Number).filter((pid) => pid !== process.pid);
  return others.map(statOf).filter((stat) => stat !== undefined);
}

/** Undefined for a zombie, and for a process that has ended. */
function statOf(pid: number): Stat | undefined {
  try {
    const [, name = "", state, parent, session] =
      /\((.*)\) (\w) (\d+) \d+ (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
    if (state === "Z" || state === "X") return undefined;
    return { pid, name, parent: Number(parent), session: Number(session) };
  } catch {
    return undefined;
  }
}
