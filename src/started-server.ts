/** A server of our own: started as a user would start it, ended with us. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { failed } from "./errors";
import { commandPath } from "./paths";

export interface StartedServer {
  readonly pid: number;
  readonly port: number;
  readonly address: string;
  /** Until the last child was up, as the supervisor measured it. */
  readonly upMs: number;
  /** The lines of its standard error, so far. */
  readonly said: readonly string[];
  /** Tells it to stop, and waits until it has. */
  stop(): Promise<void>;
}

/** Throws a CommandError with what it said when it does not start. */
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
  // Not "exit": what it said last may still be on its way.
  const ended = once(child, "close").then(() => null);
  const end = () => child.kill("SIGTERM");
  signal?.addEventListener("abort", end);
  void ended.then(() => signal?.removeEventListener("abort", end));
  const listening = await Promise.race([firstListening(child, said), ended]);
  if (!listening) throw failed(`the server did not start: ${said.join(" ")}`);
  return {
    pid: child.pid ?? 0,
    ...listening,
    said,
    stop: async () => {
      end();
      await ended;
    },
  };
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
