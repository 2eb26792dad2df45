/** A process as others see it: proc_pid_stat(5), proc_pid_comm(5), proc_pid_fd(5), proc_pid_smaps(5). */
import { readdirSync, statSync } from "node:fs";
import { sum } from "../base/numbers";
import { bytesNamed, readText } from "./files";

export type Life = "running" | "stopped" | "gone";

/** "gone" includes a zombie, and a process that cannot be read. */
export function lifeOf(pid: number): Life {
  const stat = readText(`/proc/${pid}/stat`);
  const state = stat.charAt(stat.lastIndexOf(")") + 2);
  if (/[Tt]/.test(state)) return "stopped";
  return /[^ZXx]/.test(state) ? "running" : "gone";
}

/** As ps(1) shows it, up to 15 bytes; "" if there is no such process. */
export function nameOfProcess(pid: number): string {
  return readText(`/proc/${pid}/comm`).trimEnd();
}

/**
 * How many descriptors a process has open; undefined if that cannot be read. Since Linux 6.2 everybody
 * can read it, as the size of the folder. Source: proc_fd_getattr(), fs/proc/fd.c.
 */
export function countDescriptors(pid: number): number | undefined {
  const folder = `/proc/${pid}/fd`;
  try {
    return statSync(folder).size || readdirSync(folder).length;
  } catch {
    return undefined;
  }
}

/** Bytes of a process: its private memory, and its share of shared memory. 0 if it has ended. */
export function proportionalMemory(pid: number): number {
  return bytesNamed("Pss", readText(`/proc/${pid}/smaps_rollup`)) ?? 0;
}

/**
 * Bytes that a process has written to and shares with nobody, and its page tables; undefined if they
 * cannot be read. RssAnon of proc_pid_status(5) would count what it shares since the fork.
 */
function privateMemory(pid: number): number | undefined {
  const pages = bytesNamed("Private_Dirty", readText(`/proc/${pid}/smaps_rollup`));
  const tables = bytesNamed("VmPTE", readText(`/proc/${pid}/status`));
  return pages === undefined || tables === undefined ? undefined : pages + tables;
}

/** Private memory and page tables of alike processes. */
export interface MemoryOfChildren {
  readonly bytesPerChild: number;
  readonly bytesOfChildren: number;
  readonly childrenRead: number;
}

/** Maximum number of children whose memory is read; each costs some 0.2 ms. */
const MEMORY_OF = 100;

/** Null if there are none, or none can be read: only root can. */
export function memoryOfChildren(pids: readonly number[]): MemoryOfChildren | null {
  const step = Math.max(1, pids.length / MEMORY_OF);
  const some = Array.from(
    { length: Math.min(pids.length, MEMORY_OF) },
    (_, i) => pids[Math.floor(i * step)] ?? 0,
  );
  const sizes = some.map(privateMemory).filter((bytes) => bytes !== undefined);
  if (sizes.length === 0) return null;
  const bytesPerChild = sum(sizes) / sizes.length;
  return {
    bytesPerChild,
    bytesOfChildren: bytesPerChild * pids.length,
    childrenRead: sizes.length,
  };
}
