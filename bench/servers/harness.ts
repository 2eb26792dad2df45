/** The servers that are measured side by side, each started as its user would start it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { commandPath } from "../../src/base/paths";
import type { Ack } from "../../src/serve/options";
import type { Subject } from "../figures/figure";
import { requireRoomFor } from "./capacity";
import { LeftOut, requireInstalled } from "./installed";
import { freePort, type Running, start } from "./launch";

const benchFolder = join(__dirname, "..", "bench");
const coreFolder = join(__dirname, "..", "native", "core");
export const peersFolder = join(benchFolder, "peers");

export interface Setting {
  readonly children: number;
  readonly workMs: number;
  readonly backlog: number;
  /** A pool that starts with so many, keeps 5 to 10 spare, and grows to `children`. */
  readonly start?: number;
  /** Of kilofork: what a reply says. */
  readonly ack?: Ack;
}

export type SubjectName =
  | "kilofork"
  | "reference"
  | "prefork"
  | "python"
  | "cluster"
  | "net"
  | "bare";

export const LABELS: Readonly<Record<SubjectName, string>> = {
  kilofork: "kilofork",
  reference: "reference",
  prefork: "Net::Server",
  python: "Python",
  cluster: "node:cluster",
  net: "node:net",
  bare: "bare loop",
};

/** Memory of one process, busy; somewhat more than measured. */
const KILOBYTES: Readonly<Record<SubjectName, number>> = {
  ...{ kilofork: 130, reference: 550, prefork: 1100, python: 1200, bare: 130 },
  ...{ cluster: 65_536, net: 65_536 },
};

/** With more, starting takes minutes: what each does because of all before it adds up to a square. */
const MOST_CHILDREN = 5000;
const QUADRATIC: Partial<Record<SubjectName, string>> = {
  reference: "a child inherits a mapping of each one that was forked before it",
  prefork: "a child takes apart its copy of the parent's table of all that were forked before it",
};

/** Side by side: each is measured in the same way. */
export function side(
  names: readonly SubjectName[],
  measure: (name: SubjectName) => Promise<number>,
): Subject[] {
  return names.map((name) => ({ label: LABELS[name], measure: () => measure(name) }));
}

/** What the bench compiles and writes; gone when it ends. */
export class Harness {
  readonly folder = mkdtempSync(join(tmpdir(), "kilofork-bench-"));
  /** What a reader of the figures must know besides. */
  readonly notes = new Set<string>();
  private isInterrupted = false;
  private logs = 0;
  private readonly running = new Set<Running>();
  private readonly compiled = new Set<string>();

  get referenceClient(): string {
    return this.compileC("reference", "cclient");
  }

  /** The driver of bench/native. */
  get rate(): string {
    const core = ["base/clock", "base/error", "base/escape", "log/append_log"];
    const sources = core.map((name) => join(coreFolder, `${name}.cpp`));
    const flags = ["-O2", "-std=c++20", "-Wall", "-Wextra", "-I", coreFolder];
    return this.compile("rate", "c++", [
      ...flags,
      join(benchFolder, "native", "rate.cpp"),
      ...sources,
    ]);
  }

  newLog(): string {
    return join(this.folder, `${++this.logs}.log`);
  }

  /** Whoever measures is left without a server, and so fails soon. */
  interrupt(): void {
    this.isInterrupted = true;
    void this.endAll();
  }

  /** Throws when it is time to end. */
  goOn(): void {
    if (this.isInterrupted) throw new Error("interrupted");
  }

  /** Ends what a failed measurement left running, in one way or the other. */
  async endAll(): Promise<void> {
    await Promise.allSettled([...this.running].map((server) => server.stop()));
  }

  async close(): Promise<void> {
    await this.endAll();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Throws LeftOut when the machine lacks what it needs. */
  async start(name: SubjectName, setting: Setting): Promise<Running> {
    if (name === "prefork") requireInstalled("Net::Server");
    if (name === "python") requireInstalled("python");
    const quadratic = QUADRATIC[name];
    if (quadratic !== undefined && setting.children > MOST_CHILDREN)
      throw new LeftOut(`not with more than ${MOST_CHILDREN} children: ${quadratic}`);
    requireRoomFor(processesOf(name, setting.children), KILOBYTES[name]);
    const port = await freePort();
    const log = this.newLog();
    const server = await start(this.commandOf(name, setting, port, log), port, log);
    const tracked = {
      ...server,
      stop: async () => {
        this.running.delete(tracked);
        await server.stop().catch((error: Error) => {
          if (name === "kilofork") throw error;
          this.notes.add(`${LABELS[name]}: ${error.message}`);
        });
      },
    };
    this.running.add(tracked);
    this.goOn();
    return tracked;
  }

  private commandOf(name: SubjectName, setting: Setting, port: number, log: string): string[] {
    const processes = processesOf(name, setting.children);
    const numbers = [port, processes, setting.workMs, setting.backlog].map(String);
    const spare = setting.start === undefined ? [] : [String(setting.start), "5", "10"];
    const peer = (file: string) => [join(peersFolder, file), ...numbers, log];
    switch (name) {
      case "prefork":
        return ["perl", ...peer("prefork.pl"), ...spare];
      case "python":
        return ["python3", ...peer("prefork.py")];
      case "cluster":
        return [process.execPath, ...peer("cluster.mjs")];
      case "net":
        return [process.execPath, ...peer("net.mjs")];
      case "reference":
        return [this.compileC("reference", "myserver"), ...numbers, log];
      case "bare":
        return [
          this.compileC("peers", "bare", "-static"),
          ...[port, processes, setting.backlog].map(String),
        ];
      case "kilofork":
        return [
          ...[process.execPath, commandPath, "serve", "127.0.0.1", String(port)],
          ...(setting.start === undefined
            ? ["--children", String(setting.children)]
            : [
                ...["--pool", "dynamic", "--start-children", String(setting.start)],
                ...["--max-children", String(setting.children)],
              ]),
          ...["--backlog", String(setting.backlog)],
          ...["--work", setting.workMs > 0 ? `sleep:${setting.workMs}ms` : "none", "--log", log],
          ...["--ack", setting.ack ?? "written"],
        ];
    }
  }

  private compileC(folder: string, program: string, ...more: string[]): string {
    const flags = ["-O2", "-Wall", "-Wextra", "-pthread", ...more];
    return this.compile(program, "cc", [...flags, join(benchFolder, folder, `${program}.c`)]);
  }

  /** At its first use. */
  private compile(program: string, compiler: string, args: string[]): string {
    const path = join(this.folder, program);
    if (!this.compiled.has(program)) execFileSync(compiler, [...args, "-o", path]);
    this.compiled.add(program);
    return path;
  }
}

/** An event loop needs no process for each client. */
function processesOf(name: SubjectName, children: number): number {
  if (name === "net") return 1;
  return name === "cluster" ? availableParallelism() : children;
}
