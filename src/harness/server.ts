/** A server of our own: started as a user would start it, ended with us. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { KiloforkError } from "../base/errors";
import { commandPath } from "../base/paths";

export interface StartedServer {
  readonly pid: number;
  readonly port: number;
  readonly address: string;
  /** Until the last child was up, as the supervisor measured it. */
  readonly upMs: number;
  /** The lines of its standard error, so far. */
  readonly said: readonly string[];
  /** Tells it to stop, and waits until it has. Throws a KiloforkError when it never does. */
  stop(): Promise<void>;
}

/** Children that are stuck in the kernel cannot be ended by anybody: we must not wait for ever. */
const ENDS_WITHIN_MS = 30_000;
const UP_WITHIN_MS = 60_000;
const UP_WITHIN_MS_A_CHILD = 5;

/** Throws a KiloforkError with what it said when it does not start. */
export async function startServer(options: {
  children: number;
  work: string;
  /** A path, or the descriptor of a file that is open for appending. */
  log: string | number;
  backlog?: number;
  /** Tells it to stop, also while it starts. */
  signal?: AbortSignal;
}): Promise<StartedServer> {
  const { log, backlog, signal } = options;
  const child = spawn(
    process.execPath,
    [
      commandPath,
      "serve",
      "127.0.0.1",
      "0",
      ...["--children", String(options.children)],
      ...["--work", options.work],
      ...["--log", typeof log === "number" ? "-" : log],
      ...(backlog === undefined ? [] : ["--backlog", String(backlog)]),
      ...["--grace", "2s"],
      "--stop-at-eof", // it ends with us, however we end
    ],
    { stdio: ["pipe", typeof log === "number" ? log : "ignore", "pipe"] },
  );
  const said: string[] = [];
  const life = new Life(child);
  const end = () => life.end();
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  const upWithinMs = UP_WITHIN_MS + UP_WITHIN_MS_A_CHILD * options.children;
  const late = setTimeout(() => {
    said.push(`its children were not up within ${upWithinMs / 1000} s`);
    end();
  }, upWithinMs);
  void life.ended.then(() => signal?.removeEventListener("abort", end));
  const listening = await Promise.race([firstListening(child, said), life.ended]);
  clearTimeout(late);
  if (typeof listening === "string")
    throw new KiloforkError(
      "ERR_START",
      `the server did not start: ${[...said, listening].join(" ")}`,
    );
  return {
    pid: child.pid ?? 0,
    ...listening,
    said,
    stop: async () => {
      end();
      const how = await life.ended;
      if (how !== "") throw new KiloforkError("ERR_STOP", how);
    },
  };
}

/** Until it has ended, or is given up. */
class Life {
  /** Empty, or why it was given up. */
  readonly ended: Promise<string>;
  private giveUp!: () => void;
  private patience: NodeJS.Timeout | undefined;
  private over = false;

  constructor(private readonly child: ChildProcess) {
    this.ended = new Promise((resolve) => {
      // Not "exit": what it said last may still be on its way.
      child.once("close", () => {
        this.over = true;
        clearTimeout(this.patience);
        resolve("");
      });
      child.once("error", (error) => resolve(error.message));
      this.giveUp = () => {
        this.over = true;
        child.kill("SIGKILL"); // its supervisor stops by itself then
        for (const stream of [child.stdin, child.stderr]) stream?.destroy();
        child.unref();
        resolve(
          `the server ${child.pid} did not end within ${ENDS_WITHIN_MS / 1000} s: children of it are left, stuck in the kernel?`,
        );
      };
    });
  }

  end(): void {
    if (this.over) return;
    this.child.kill("SIGTERM");
    this.patience ??= setTimeout(this.giveUp, ENDS_WITHIN_MS);
  }
}

type Listening = Pick<StartedServer, "port" | "address" | "upMs">;

function firstListening(child: ChildProcess, said: string[]): Promise<Listening> {
  return new Promise((resolve) => {
    if (!child.stderr) return;
    createInterface({ input: child.stderr }).on("line", (line) => {
      said.push(line);
      const match = /listening on (\S+):(\d+);.* children up in (\d+) ms/.exec(line);
      if (match)
        resolve({ address: match[1] ?? "", port: Number(match[2]), upMs: Number(match[3]) });
    });
  });
}
