/**
 * Finds the processes of servers that this process started: those with a tag in their environment,
 * and those that hold the shared memory of such a server. The forker leaves its children no
 * environment. proc_pid_environ(5)
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

  /** `name` is the name of the environment variable. */
  constructor(private readonly name: string) {
    this.tag = `${process.pid}-${randomBytes(6).toString("hex")}`;
  }

  /** The environment that a process is to be started with. */
  get environment(): Record<string, string> {
    return { [this.name]: this.tag };
  }

  /** Finds the processes of this server as well, by its front. */
  add(front: number): void {
    this.fronts.push(front);
  }

  /** Removes the fronts that were added, and returns them. */
  removeFronts(): number[] {
    return this.fronts.splice(0);
  }

  /** The pids; `wanted` chooses by the name of the process. */
  list(wanted = /./): number[] {
    return readdirSync("/proc")
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number)
      .filter((pid) => pid !== process.pid && this.has(pid, wanted));
  }

  /** False also for a zombie, and for a process that has ended. */
  has(pid: number, wanted = /./): boolean {
    try {
      const [, name = "", state] =
        /\((.*)\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, "latin1")) ?? [];
      if (state === "Z" || !wanted.test(name)) return false;
      const variables = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
      if (variables.includes(`${this.name}=${this.tag}`)) return true;
      return name.startsWith("kilofork-") && this.holdsSegment(pid);
    } catch {
      return false;
    }
  }

  private holdsSegment(pid: number): boolean {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => {
      const path = readlinkSync(join(folder, fd));
      return this.fronts.some((front) => path.startsWith(`/dev/shm/kilofork-${front}-`));
    });
  }
}
