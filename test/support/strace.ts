/** Makes a system call of a running process fail, or take long, with strace(1). */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { afterEach } from "vitest";
import { until } from "./wait";

export const hasStrace = spawnSync("strace", ["-V"]).error === undefined;

const tracers: ChildProcess[] = [];

/** Injects `how` (as in `inject=` of strace) into the calls of the process, or those on a file only. */
export async function inject(pid: number, call: string, how: string, file?: string) {
  const filter = ["-e", `trace=${call}`, ...(file === undefined ? [] : ["-P", file])];
  const tracer = spawn("strace", ["-p", String(pid), ...filter, "-e", `inject=${call}:${how}`]);
  tracers.push(tracer);
  let said = "";
  tracer.stderr.on("data", (data) => {
    said += data;
  });
  await until("strace is attached", () => said.includes("attached"));
  return {
    isDelayed: () => said.includes("(DELAYED)"),
    release: async () => {
      const ended = once(tracer, "exit");
      tracer.kill("SIGINT"); // strace detaches from the process
      await ended;
    },
  };
}

export function killTracers(): void {
  for (const tracer of tracers.splice(0)) tracer.kill("SIGKILL");
}

afterEach(killTracers);
