/** The servers that are measured side by side, each started as its user would start it. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { commandPath } from "../src/paths";

const benchFolder = join(__dirname, "..", "bench");

export interface Setting {
  readonly children: number;
  readonly workMs: number;
  readonly backlog: number;
  /** A pool that starts with so many, keeps 5 to 10 spare, and grows to `children`. */
  readonly start?: number;
}

export type SubjectName = "kilofork" | "reference" | "cluster" | "prefork";

/** What the user of the machine would have to install for a subject; nothing: it is there. */
export function missing(name: SubjectName): string | undefined {
  if (name !== "prefork") return undefined;
  const { status } = spawnSync("perl", ["-MNet::Server::PreFork", "-e", "1"]);
  return status === 0 ? undefined : "Net::Server::PreFork (Debian: libnet-server-perl)";
}

export interface Running {
  readonly port: number;
  readonly log: string;
  /** Until all processes were there. */
  readonly upMs: number;
  stop(): Promise<void>;
}

/** What the bench compiles and writes; gone when it ends. */
export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), "kilofork-bench-"));
  readonly referenceServer = join(this.folder, "myserver");
  readonly referenceClient = join(this.folder, "cclient");
  /** What a reader of the figures must know besides. */
  readonly notes = new Set<string>();
  private logs = 0;
  private readonly running = new Set<Running>();

  constructor() {
    for (const program of ["myserver", "cclient"]) {
      const source = join(benchFolder, "reference", `${program}.c`);
      const flags = ["-O2", "-Wall", "-Wextra", "-pthread"];
      execFileSync("cc", [...flags, "-o", join(this.folder, program), source]);
    }
  }

  newLog(): string {
    return join(this.folder, `${++this.logs}.log`);
  }

  /** Ends what a failed measurement left running, too. */
  async close(): Promise<void> {
    for (const server of this.running) await server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async start(name: SubjectName, setting: Setting): Promise<Running> {
    const server = await this.launch(name, setting);
    const tracked = {
      ...server,
      stop: async () => {
        this.running.delete(tracked);
        await server.stop();
      },
    };
    this.running.add(tracked);
    return tracked;
  }

  private async launch(name: SubjectName, setting: Setting): Promise<Running> {
    const port = await freePort();
    const log = this.newLog();
    const numbers = [port, setting.children, setting.workMs, setting.backlog].map(String);
    const spare = setting.start === undefined ? [] : [String(setting.start), "5", "10"];
    if (name === "prefork") {
      const script = join(benchFolder, "peers", "prefork.pl");
      return start(["perl", script, ...numbers, log, ...spare], port, log);
    }
    if (name === "reference") return start([this.referenceServer, ...numbers, log], port, log);
    if (name === "cluster") {
      const [, , ...rest] = numbers;
      const workers = String(setting.children);
      const script = join(benchFolder, "peers", "cluster.mjs");
      return start([process.execPath, script, String(port), workers, ...rest, log], port, log);
    }
    return start(
      [
        ...[process.execPath, commandPath, "serve", "127.0.0.1", String(port)],
        ...(setting.start === undefined
          ? ["--children", String(setting.children)]
          : [
              ...["--pool", "dynamic", "--start-children", String(setting.start)],
              ...["--max-children", String(setting.children)],
            ]),
        ...["--backlog", String(setting.backlog)],
        ...["--work", setting.workMs > 0 ? `sleep:${setting.workMs}ms` : "none", "--log", log],
      ],
      port,
      log,
    );
  }
}

/** Started when it prints its banner; kilofork adds on stderr how long its supervisor took. */
async function start(argv: string[], port: number, log: string): Promise<Running> {
  const [program = "", ...args] = argv;
  const begun = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  const said: string[] = [];
  const bannerMs = new Promise<number>((resolve, reject) => {
    listen(child, "stdout", (line) => {
      if (line.startsWith("Running with")) resolve(performance.now() - begun);
    });
    listen(child, "stderr", (line) => said.push(line));
    child.once("exit", () => reject(new Error(`${program} ended: ${said.join("; ")}`)));
  });
  const upMs = await bannerMs;
  if (!argv.includes("serve")) return { port, log, upMs, stop };
  while (!said.some((line) => line.includes("children up in")))
    await new Promise((resolve) => setTimeout(resolve, 5));
  const own = /children up in (\d+) ms/.exec(said.join("\n"))?.[1];
  return { port, log, upMs: Number(own), stop };
}

function listen(child: ChildProcess, name: "stdout" | "stderr", onLine: (line: string) => void) {
  const input = child[name];
  if (input) createInterface({ input }).on("line", onLine);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
