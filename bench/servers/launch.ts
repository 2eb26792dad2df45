/** Starts a program that serves, and ends it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** With 10,000 children, too. */
const STARTS_WITHIN_MS = 120_000;
const ENDS_WITHIN_MS = 60_000;
const DIES_WITHIN_MS = 10_000;

export interface Running {
  /** Of the first process: of kilofork, the front. */
  readonly pid: number;
  readonly port: number;
  readonly log: string;
  /** Until all processes were there. */
  readonly upMs: number;
  stop(): Promise<void>;
}

/** Started when it prints its banner; kilofork adds on stderr how long its supervisor took. */
export async function start(argv: string[], port: number, log: string): Promise<Running> {
  const [program = "", ...args] = argv;
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const stop = () => end(child);
  const pid = child.pid ?? 0;
  const said: string[] = [];
  const banner = new Promise<number>((resolve, reject) => {
    listen(child, "stdout", (line) => {
      if (line.startsWith("Running with")) resolve(performance.now() - begun);
    });
    listen(child, "stderr", (line) => said.push(line));
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`${program} ended: ${said.join("; ")}`)));
  });
  const late = new Error(`${program} was not up within ${STARTS_WITHIN_MS / 1000} s`);
  const upMs = await within(banner, STARTS_WITHIN_MS, late).catch(async (error) => {
    await stop();
    throw error;
  });
  if (!argv.includes("serve")) return { pid, port, log, upMs, stop };
  while (!said.some((line) => line.includes("children up in")))
    await new Promise((resolve) => setTimeout(resolve, 5));
  const own = /children up in (\d+) ms/.exec(said.join("\n"))?.[1];
  return { pid, port, log, upMs: Number(own), stop };
}

/** As it is asked to, or else by force and with all its group, which is an error. */
async function end(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const seconds = ENDS_WITHIN_MS / 1000;
  const late = new Error(`${child.spawnfile} did not end within ${seconds} s, and was killed`);
  const immortal = new Error(`${child.spawnfile} cannot be killed`);
  await within(ended, ENDS_WITHIN_MS, late).catch(async (error) => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-pid, "SIGKILL");
    await within(ended, DIES_WITHIN_MS, immortal).finally(() => {
      // What a process of it that cannot die holds open would keep the bench alive.
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

function listen(child: ChildProcess, name: "stdout" | "stderr", onLine: (line: string) => void) {
  const input = child[name];
  if (input) createInterface({ input }).on("line", onLine);
}
