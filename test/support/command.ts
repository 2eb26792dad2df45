/** Runs kilofork, or another program, as from a shell. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { commandPath } from "../../src/base/paths";
import { processes } from "./cleanup";
import { hasEnded } from "./processes";

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command of kilofork, or another program, started as from a shell. */
export class Command {
  stdout = "";
  stderr = "";
  private readonly child: ChildProcess;
  private readonly ended: Promise<[number | null, NodeJS.Signals | null]>;

  constructor(args: readonly string[], program = process.execPath, env: NodeJS.ProcessEnv = {}) {
    const argv = program === process.execPath ? [commandPath, ...inMode(args)] : [...args];
    this.child = spawn(program, argv, {
      stdio: ["pipe", "pipe", "pipe"], // its standard input ends with this process
      env: { ...process.env, TZ: "UTC", ...processes.environment, ...env },
    });
    this.child.stdout?.on("data", (data) => (this.stdout += data));
    this.child.stderr?.on("data", (data) => (this.stderr += data));
    this.ended = once(this.child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return hasEnded(this.child);
  }

  closeInput(): void {
    this.child.stdin?.end();
  }

  /** Closes the reading end of its standard output. */
  closeOutput(): void {
    this.child.stdout?.destroy();
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async end(): Promise<Ended> {
    const [code, signal] = await this.ended;
    return { code, signal, stdout: this.stdout, stderr: this.stderr };
  }
}

/** `connection` or `request`: the mode of all servers and clients of a test run. */
export const processPer = process.env.KILOFORK_TEST_PROCESS_PER ?? "connection";

function inMode(args: readonly string[]): readonly string[] {
  const [command = "", ...rest] = args;
  if (!["serve", "client", "demo"].includes(command) || rest.includes("--process-per")) return args;
  return [command, "--process-per", processPer, ...rest];
}

export const run = (...args: string[]): Promise<Ended> => new Command(args).end();

/** Runs kilofork with that limit of open files. */
export const withFiles = (most: number, args: readonly string[]): Promise<Ended> => {
  const script = `ulimit -n ${most} && exec "$@"`;
  return new Command(["-c", script, "sh", process.execPath, commandPath, ...args], "sh").end();
};
