/** strace(1), by which a system call of a running process fails, or takes long. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { afterEach } from "vitest";
import { until } from "./server";

export const hasStrace = spawnSync("strace", ["-V"]).error === undefined;

const tracers: ChildProcess[] = [];

/** From now on the system call fares so, as `inject=` of strace says it; on the file only, if given. */
export async function inject(pid: number, call: string, how: string, file?: string) {
  const filter = ["-e", `trace=${call}`, ...(file === undefined ? [] : ["-P", file])];
  const tracer = spawn("strace", ["-p", String(pid), ...filter, "-e", `inject=${call}:${how}`]);
  tracers.push(tracer);
  let said = "";
  tracer.stderr.on("data", (data) => {
    said += data;
  });
  await until("it is traced", () => said.includes("attached"));
  return {
    isDelayed: () => said.includes("(DELAYED)"),
    release: async () => {
      const ended = once(tracer, "exit");
      tracer.kill("SIGINT"); // it lets go of the process
      await ended;
    },
  };
}

export function killTracers(): void {
  for (const tracer of tracers.splice(0)) tracer.kill("SIGKILL");
}

afterEach(killTracers);
