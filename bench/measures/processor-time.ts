/**
 * The time that the processors have worked for a server: /proc/PID/schedstat, which the kernel's
 * Documentation/scheduler/sched-stats.rst describes.
 */
import { readdirSync } from "node:fs";
import { sum } from "../../src/base/numbers";
import { readNumbers } from "../../src/machine/files";
import { parentOf } from "../../test/support/processes";

/** Microseconds, of all threads of a process and of the processes below it that live. */
export function processorTimeOf(pid: number): number {
  return sum(familyOf(pid).flatMap(threadsOf)) / 1000;
}

/** The process and all below it. */
function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of numbersIn("/proc")) {
    const parent = parentOf(entry);
    children.set(parent, [...(children.get(parent) ?? []), entry]);
  }
  const family = [pid];
  for (const member of family) family.push(...(children.get(member) ?? []));
  return family;
}

/** Nanoseconds of each thread. The file of a process is that of its first thread. */
function threadsOf(pid: number): number[] {
  const folder = `/proc/${pid}/task`;
  return numbersIn(folder).map((thread) => readNumbers(`${folder}/${thread}/schedstat`)[0] ?? 0);
}

function numbersIn(folder: string): number[] {
  try {
    return readdirSync(folder)
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number);
  } catch {
    return []; // the process has ended
  }
}
