/**
 * Starts a server in a process of its own, as a user would. The server ends with this process. It
 * reports through a descriptor (--ready-fd) where it listens, or why it did not start. For demo,
 * limit, bench, chaos and the tests.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { KiloforkError } from "../base/errors";
import { commandPath } from "../base/paths";
import type { ReadyLine } from "../serve/ready";

export interface StartOptions {
  /** Children of a static pool. */
  readonly children?: number;
  readonly work?: string;
  /** A path, or the descriptor of a file that is open for appending. */
  readonly log: string | number;
  /** Further options of `kilofork serve`. */
  readonly args?: readonly string[];
  /** Default: 127.0.0.1, and any free port. */
  readonly host?: string;
  readonly port?: number;
  /** Added to the environment of this process. */
  readonly env?: NodeJS.ProcessEnv;
  /** A program and its arguments that execute the server, as `setpriv` does. */
  readonly via?: readonly string[];
  /** The script that node runs; default: this package's. */
  readonly command?: string;
  /** A descriptor for its standard error, instead of {@link StartedServer.stderr}. */
  readonly stderr?: number;
  /** Starts a session, which Ctrl-C does not reach. */
  readonly detached?: boolean;
  /** Stops the server when aborted, also while it starts. */
  readonly signal?: AbortSignal;
}

/** How its process ended. */
export interface ServerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface StartedServer {
  /** Of the front. */
  readonly pid: number;
  readonly address: string;
  readonly port: number;
  /** From the start of the supervisor until all children waited for clients. */
  readonly upMs: number;
  /** The lines of standard output so far: the banner. Empty if the log is a descriptor. */
  readonly stdout: readonly string[];
  /** The lines of standard error so far. */
  readonly stderr: readonly string[];
  /** The end of its standard input stops the server. */
  readonly process: ChildProcess;
  /** Rejects with ERR_STOP if the process was given up. */
  readonly ended: Promise<ServerEnd>;
  kill(signal: NodeJS.Signals): void;
  /** Sends the signal, and waits for the end. Throws ERR_STOP if it does not come. */
  stop(signal?: NodeJS.Signals): Promise<ServerEnd>;
}

export type StartFailure = Extract<ReadyLine, { event: "failed" }>;

/** ERR_START. `failure` is what the server reported; undefined if it ended without a report. */
export class StartError extends KiloforkError {
  constructor(
    message: string,
    readonly failure: StartFailure | undefined,
  ) {
    super("ERR_START", message);
  }
}

/** Children stuck in the kernel never end: the server is given up after this time. */
const ENDS_WITHIN_MS = 30_000;
const UP_WITHIN_MS = 60_000;
const UP_WITHIN_MS_A_CHILD = 5;
const READY_FD = 3;

/** Resolves when all first children wait for clients. Throws {@link StartError}. */
export async function startServer(options: StartOptions): Promise<StartedServer> {
  const { log, signal, children = 0 } = options;
  const child = spawnServer(options);
  const stdout = typeof log === "number" ? [] : linesOf(child.stdout);
  const stderr = linesOf(child.stderr);
  const life = new Life(child);
  const stop = () => life.end("SIGTERM");
  signal?.addEventListener("abort", stop);
  if (signal?.aborted) stop();
  const upWithinMs = UP_WITHIN_MS + UP_WITHIN_MS_A_CHILD * children;
  let isLate = false;
  const late = setTimeout(() => {
    isLate = true;
    stop();
  }, upWithinMs);
  const removeListener = () => signal?.removeEventListener("abort", stop);
  life.ended.then(removeListener, removeListener);

  const line = await firstLine(child.stdio[READY_FD] as Readable);
  clearTimeout(late);
  if (line?.event !== "ready") {
    const lost = await life.ended.then(
      () => "",
      (error: Error) => error.message,
    );
    const why = isLate
      ? [`its children were not up within ${upWithinMs / 1000} s`, ...stderr]
      : (line?.message.split("\n") ?? stderr);
    const text = [...why, lost].filter((part) => part !== "").join("; ");
    throw new StartError(`the server did not start: ${text}`, line);
  }
  const { pid, address, port, upMs } = line;
  return {
    ...{ pid, address, port, upMs, stdout, stderr, process: child, ended: life.ended },
    kill: (name) => child.kill(name),
    stop: (name = "SIGTERM") => {
      life.end(name);
      return life.ended;
    },
  };
}

function spawnServer(options: StartOptions): ChildProcess {
  const { log, children, work, args = [], host = "127.0.0.1", port = 0, via = [] } = options;
  const [program = process.execPath, ...rest] = [
    ...[...via, process.execPath, options.command ?? commandPath],
    ...["serve", host, String(port)],
    ...(children === undefined ? [] : ["--children", String(children)]),
    ...(work === undefined ? [] : ["--work", work]),
    ...["--log", typeof log === "number" ? "-" : log],
    ...["--ready-fd", String(READY_FD), "--stop-at-eof"],
    ...args,
  ];
  return spawn(program, rest, {
    stdio: ["pipe", typeof log === "number" ? log : "pipe", options.stderr ?? "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    detached: options.detached ?? false,
  });
}

/** Resolves to the first line of the descriptor; undefined at its end. */
function firstLine(input: Readable): Promise<ReadyLine | undefined> {
  return new Promise((resolve) => {
    const lines = createInterface({ input });
    lines.once("line", (line) => resolve(JSON.parse(line) as ReadyLine));
    lines.once("close", () => resolve(undefined));
    input.on("error", () => resolve(undefined));
  });
}

/** Returns an array to which lines are added as they come. */
function linesOf(input: Readable | null): string[] {
  const lines: string[] = [];
  if (input) createInterface({ input }).on("line", (line) => lines.push(line));
  return lines;
}

/** Waits for the end of the process, or gives it up. */
class Life {
  /** Rejects with ERR_STOP if the process could not be started or is given up. */
  readonly ended: Promise<ServerEnd>;
  private giveUp!: () => void;
  private patience: NodeJS.Timeout | undefined;
  private over = false;

  constructor(private readonly child: ChildProcess) {
    this.ended = new Promise((resolve, reject) => {
      // Not "exit", after which its last lines may still come.
      child.once("close", (code, signal) => {
        this.over = true;
        clearTimeout(this.patience);
        resolve({ code, signal });
      });
      child.once("error", (error) => {
        this.over = true;
        reject(new KiloforkError("ERR_STOP", error.message));
      });
      this.giveUp = () => {
        this.over = true;
        child.kill("SIGKILL"); // its supervisor then stops by itself
        for (const stream of child.stdio) stream?.destroy();
        child.unref();
        const text = `the server ${child.pid} did not end within ${ENDS_WITHIN_MS / 1000} s: its children may be stuck in the kernel`;
        reject(new KiloforkError("ERR_STOP", text));
      };
    });
    this.ended.catch(() => {}); // nobody may wait for it
  }

  end(signal: NodeJS.Signals): void {
    if (this.over) return;
    this.child.kill(signal);
    this.patience ??= setTimeout(this.giveUp, ENDS_WITHIN_MS);
  }
}
