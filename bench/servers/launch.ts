/** Starts the server of a peer, and ends it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { ProcessPer } from "../../src/base/protocol";
import { hasEnded } from "../../test/support/processes";

/** Enough for 10,000 children. */
const STARTS_WITHIN_MS = 120_000;
const ENDS_WITHIN_MS = 60_000;
const DIES_WITHIN_MS = 10_000;

export interface Running {
  /** The first process: of kilofork, the front. */
  readonly pid: number;
  readonly port: number;
  readonly log: string;
  readonly processPer: ProcessPer;
  /** From the start until all children were up. */
  readonly upMs: number;
  stop(): Promise<void>;
}

/** Resolves when the program has written its first line: each peer writes one when it is up. */
export async function launch(argv: string[], port: number, log: string): Promise<Running> {
  const [program = "", ...args] = argv;
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let errors = "";
  child.stderr.on("data", (data) => (errors += data));
  const up = new Promise<number>((resolve, reject) => {
    child.stdout.once("data", () => resolve(performance.now() - begun));
    child.once("error", reject);
    child.once("close", () => reject(new Error(`${program} ended: ${errors.trim()}`)));
  });
  const late = new Error(`${program} was not up within ${STARTS_WITHIN_MS / 1000} s`);
  const upMs = await within(up, STARTS_WITHIN_MS, late).catch(async (error) => {
    await end(child);
    throw error;
  });
  child.stdout.resume();
  const { pid = 0 } = child;
  return { pid, port, log, upMs, processPer: "connection", stop: () => end(child) };
}

/** Sends SIGTERM. If the program does not end in time, kills its process group and throws. */
async function end(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined || hasEnded(child)) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const seconds = ENDS_WITHIN_MS / 1000;
  const late = new Error(`${child.spawnfile} did not end within ${seconds} s, and was killed`);
  const immortal = new Error(`${child.spawnfile} cannot be killed`);
  await within(ended, ENDS_WITHIN_MS, late).catch(async (error) => {
    if (!hasEnded(child)) process.kill(-pid, "SIGKILL");
    await within(ended, DIES_WITHIN_MS, immortal).finally(() => {
      // A process of it that cannot die holds the other ends: they would keep the bench alive.
      child.stdout?.destroy();
      child.stderr?.destroy();
    });
    throw error;
  });
}

async function within<T>(step: Promise<T>, milliseconds: number, late: Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late), milliseconds);
  });
  return Promise.race([step, timeout]).finally(() => clearTimeout(timer));
}
