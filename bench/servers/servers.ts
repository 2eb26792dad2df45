/** The servers that are measured side by side, each started as its user would start it. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { startServer } from "../../src/harness/server";
import type { Ack } from "../../src/serve/options";
import { freePort } from "../../test/support/port";
import type { Subject } from "../figures/figure";
import { requireRoomFor } from "./capacity";
import { LeftOut, requireInstalled } from "./installed";
import { launch, type Running } from "./launch";
import { isKilofork, LABELS, type Mode, type ServerName } from "./names";
import { type Programs, peersFolder } from "./programs";

export interface Setting {
  readonly children: number;
  readonly workMs: number;
  readonly backlog: number;
  /** Makes a pool that starts with this many, keeps 5 to 10 spare, and grows to `children`. */
  readonly start?: number;
  /** When kilofork replies. */
  readonly ack?: Ack;
}

/** Measures each server in the same way. */
export function sideBySide(
  names: readonly ServerName[],
  measure: (name: ServerName) => Promise<number>,
): Subject[] {
  return names.map((name) => ({ label: LABELS[name], measure: () => measure(name) }));
}

/** Memory of one busy process, somewhat more than measured. */
const KILOBYTES: Readonly<Record<ServerName, number>> = {
  ...{ kilofork: 130, perRequest: 130, reference: 550, prefork: 1100, python: 1200, bare: 130 },
  ...{ cluster: 65_536, net: 65_536, go: 262_144, loop: 32_768, hold: 1024 },
};

/** With more children, these servers take minutes to start: the time grows with the square. */
const MOST_CHILDREN = 5000;
const QUADRATIC: Partial<Record<ServerName, string>> = {
  reference: "a child inherits a mapping of each one that was forked before it",
  prefork: "a child takes apart its copy of the parent's table of all that were forked before it",
};

/** Throws LeftOut if the machine lacks what the server needs. */
export function requireMachineFor(name: ServerName, { children }: Setting): void {
  if (name === "prefork") requireInstalled("Net::Server");
  if (name === "python" || name === "go") requireInstalled(name);
  const quadratic = QUADRATIC[name];
  if (quadratic !== undefined && children > MOST_CHILDREN)
    throw new LeftOut(`not with more than ${MOST_CHILDREN} children: ${quadratic}`);
  requireRoomFor(processesOf(name, children), KILOBYTES[name]);
}

/** Resolves when all children wait for clients. */
export async function startServerOf(
  name: ServerName,
  setting: Setting,
  programs: Programs,
  log: string,
): Promise<Running> {
  if (isKilofork(name)) return startKilofork(name, setting, log);
  const port = await freePort();
  return launch(commandOf(name, setting, programs, port, log), port, log);
}

async function startKilofork(name: Mode, setting: Setting, log: string): Promise<Running> {
  const processPer = name === "perRequest" ? "request" : "connection";
  const { children, workMs, backlog, start, ack = "written" } = setting;
  const pool = ["--pool", "dynamic", "--start-children", String(start)];
  const server = await startServer({
    log,
    work: workMs > 0 ? `sleep:${workMs}ms` : "none",
    ...(start === undefined ? { children } : {}),
    args: [
      ...(start === undefined ? [] : [...pool, "--max-children", String(children)]),
      ...["--backlog", String(backlog), "--ack", ack, "--process-per", processPer],
    ],
  });
  const { pid, port, upMs } = server;
  return { pid, port, log, upMs, processPer, stop: async () => void (await server.stop()) };
}

function commandOf(
  name: Exclude<ServerName, Mode>,
  setting: Setting,
  programs: Programs,
  port: number,
  log: string,
): string[] {
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
    case "go":
      return [programs.goServer, ...numbers, log];
    case "loop":
      return [programs.eventLoop, ...[port, processes, setting.backlog].map(String), log];
    case "reference":
      return [programs.referenceServer, ...numbers, log];
    case "hold":
      return [programs.hold, "listen", String(port), String(setting.backlog)];
    case "bare":
      return [programs.bareLoop, ...[port, processes, setting.backlog].map(String)];
  }
}

/** An event loop needs no process for each client, and Go none but one. */
function processesOf(name: ServerName, children: number): number {
  if (name === "net" || name === "go" || name === "hold") return 1;
  return name === "cluster" || name === "loop" ? availableParallelism() : children;
}
