/** A server of the demo's own: started as a user would start it, ended with the demo. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { failed } from "../errors";
import { commandPath } from "../paths";

export interface DemoServer {
  readonly pid: number;
  readonly port: number;
  readonly address: string;
  /** Until the last child was up, as the supervisor measured it. */
  readonly upMs: number;
  /** Tells it to stop, and waits until it has. */
  stop(): Promise<void>;
}

export async function startServer(options: {
  children: number;
  work: string;
  log: string;
}): Promise<DemoServer> {
  const child = spawn(
    process.execPath,
    [
      commandPath,
      "serve",
      "127.0.0.1",
      "0",
      ...["--children", String(options.children)],
      ...["--work", options.work],
      ...["--log", options.log],
      ...["--grace", "2s"],
      "--stop-at-eof", // it ends with us, however we end
    ],
    { stdio: ["pipe", "ignore", "pipe"] },
  );
  const said: string[] = [];
  const ended = once(child, "exit").then(() => null);
  const listening = await Promise.race([firstListening(child, said), ended]);
  if (!listening) throw failed(`the server did not start: ${said.join(" ")}`);
  return {
    pid: child.pid ?? 0,
    ...listening,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

type Listening = Pick<DemoServer, "port" | "address" | "upMs">;

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
