/** strace(1), attached to a process that runs. For the tests and the bench. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { hasEnded } from "./processes";
import { until } from "./wait";

const ATTACHES_WITHIN_MS = 10_000;

export class Tracer {
  /** What strace has written to its standard error. */
  said = "";

  private constructor(private readonly strace: ChildProcess) {
    strace.stderr?.on("data", (data) => {
      this.said += data;
    });
  }

  /** Resolves when strace is attached. Throws what it said if it cannot. */
  static async attach(pid: number, args: readonly string[]): Promise<Tracer> {
    const strace = spawn("strace", ["-p", String(pid), ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const tracer = new Tracer(strace);
    const isAttached = () => tracer.said.includes("attached");
    const settled = () => isAttached() || hasEnded(strace);
    await until("strace is attached", settled, ATTACHES_WITHIN_MS).catch((error) => {
      tracer.kill();
      throw error;
    });
    if (!isAttached()) throw new Error(tracer.said.trim());
    return tracer;
  }

  /** Resolves when the process runs on without strace. */
  async detach(): Promise<void> {
    const ended = once(this.strace, "exit");
    this.strace.kill("SIGINT");
    await ended;
  }

  kill(): void {
    this.strace.kill("SIGKILL");
  }
}
