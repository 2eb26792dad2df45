/**
 * Several processes write to one log, or count. A program for each way starts them, lets all of them
 * go at once, and prints what they did in a second.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Harness } from "../servers/harness";
import { LeftOut, requireInstalled } from "../servers/installed";
import { peersFolder } from "../servers/programs";

const ENDS_WITHIN_MS = 120_000;
/** Each takes tens of megabytes, and tens of milliseconds of a processor to start. */
const MOST_NODE_PROCESSES = 64;

/** Lines a second: `record` through kilofork's AppendLog, `write` the same bytes through write(2). */
export function nativeLines(
  harness: Harness,
  what: "record" | "write",
  processes: number,
  lines: number,
): Promise<number> {
  return run(harness.programs.rate, [what, ...split(processes, lines), harness.newLog()]);
}

export async function nodeLines(
  harness: Harness,
  library: "pino" | "sonic-boom",
  mode: "sync" | "gather",
  processes: number,
  lines: number,
): Promise<number> {
  requireInstalled(library);
  if (processes > MOST_NODE_PROCESSES)
    throw new LeftOut(
      `${processes} processes of Node.js need too much memory, and too long to start`,
    );
  const args = [library, mode, ...split(processes, lines)];
  return runPeer("log-lines.mjs", [...args, harness.newLog()]);
}

/** Increments a second, each process in a slot of its own in shared memory. */
export function nativeCounts(
  harness: Harness,
  processes: number,
  increments: number,
): Promise<number> {
  return run(harness.programs.rate, ["count", ...split(processes, increments)]);
}

/** Increments a second, each a message to the primary of node:cluster. */
export function nodeCounts(processes: number, messages: number): Promise<number> {
  return runPeer("counts.mjs", split(processes, messages));
}

/** The arguments PROCESSES and EACH. */
function split(processes: number, total: number): string[] {
  return [processes, Math.ceil(total / processes)].map(String);
}

function runPeer(script: string, args: string[]): Promise<number> {
  return run(process.execPath, [join(peersFolder, script), ...args]);
}

async function run(program: string, args: string[]): Promise<number> {
  const { stdout } = await promisify(execFile)(program, args, { timeout: ENDS_WITHIN_MS });
  return Number(stdout);
}
