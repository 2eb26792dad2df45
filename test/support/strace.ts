/** Makes a system call of a running process fail, or take long, with strace(1). */
import { spawnSync } from "node:child_process";
import { afterEach } from "vitest";
import { Tracer } from "./tracer";
import { isRoot } from "./user";

export const hasStrace = spawnSync("strace", ["-V"]).error === undefined;
/** Whether strace may attach to supervisor and children. */
export const canTrace = hasStrace && isRoot;

const tracers: Tracer[] = [];

/** Injects `how` (as in `inject=` of strace) into the calls of the process, or those on a file only. */
export async function inject(pid: number, call: string, how: string, file?: string) {
  const filter = ["-e", `trace=${call}`, ...(file === undefined ? [] : ["-P", file])];
  const tracer = await Tracer.attach(pid, [...filter, "-e", `inject=${call}:${how}`]);
  tracers.push(tracer);
  return {
    isDelayed: () => tracer.said.includes("(DELAYED)"),
    release: () => tracer.detach(),
  };
}

export function killTracers(): void {
  for (const tracer of tracers.splice(0)) tracer.kill();
}

afterEach(killTracers);
