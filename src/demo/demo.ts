/** Runs a server and its clients for `kilofork demo`, and asks the witnesses at the peak. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { whereIs } from "../base/address";
import type { ProcessPer } from "../base/protocol";
import { plural, showBytes, showCount, showDuration, writeDuration } from "../base/units";
import { type ClientResult, DEFAULT_OS_THREADS, Load, type LoadPlan } from "../client/load";
import { type StartedServer, startServer } from "../harness/server";
import { defaultBacklog } from "../machine/capacity";
import { countAccepted } from "../machine/connections";
import { countDescriptors, memoryOfChildren } from "../machine/process";
import type { Scoreboard } from "../native/scoreboard";
import { openScoreboardOf } from "../status/servers";
import { SilentClients } from "./silent";

export interface DemoOptions {
  readonly clients: number;
  readonly children: number;
  readonly processPer: ProcessPer;
  /** More connections, which are open and silent. */
  readonly silent: number;
  readonly workMs: number;
  /** Time to stay at the peak, to inspect it with other tools; 0: none. */
  readonly holdMs: number;
  /** Keep the folder with the log and the client's result, although all went well. */
  readonly keep: boolean;
  readonly json: boolean;
}

/** What two of the witnesses saw at one instant, and the silent connections. */
interface Instant {
  readonly working: number;
  /** What the kernel saw; null if it cannot be asked. */
  readonly kernel: number | null;
  readonly silent: number;
}

/** What was measured. */
export interface Evidence {
  readonly folder: string;
  readonly server: StartedServer;
  readonly log: string;
  readonly client: ClientResult;
  readonly instant: Instant;
}

/** A client that is not greeted within this time, since no child is idle, is given up. */
const GREETED_WITHIN_MS = 2000;
const SPEED_CLIENTS = 100;
const SPEED_REQUESTS = 100;
const USER = "arijort";
/** For a server that is stopped early. */
const GRACE = ["--grace", "2s"];

const modeOf = ({ processPer }: DemoOptions): string[] =>
  // Silent connections stay for as long as the demo.
  processPer === "request" ? ["--process-per", processPer, "--idle-timeout", "0"] : [];

/** Runs server and clients, and asks shared memory and kernel at the peak. Throws ERR_START. */
export async function gather(
  options: DemoOptions,
  workMs: number,
  folder: string,
  print: (text: string) => void,
): Promise<Evidence> {
  const log = join(folder, "server.log");
  const { children } = options;
  const server = await startServer({
    children,
    work: `sleep:${workMs}ms`,
    log,
    args: [...GRACE, ...modeOf(options)],
  });
  let silent: SilentClients | undefined;
  try {
    const parts = [
      `${plural(options.children, "child", "children")} up in ${server.upMs} ms`,
      ...describeMemory(server),
      whereIs(server),
    ];
    print(`  server    ${parts.join(", ")}`);
    const scoreboard = openScoreboardOf(server.pid);
    const kernel = kernelWitness(options, server, scoreboard);
    if (options.silent > 0) {
      silent = await SilentClients.connect(options.silent, server.address, server.port);
      print(`  silent    ${showCount(silent.countOpen())} connected and greeted, and send nothing`);
    }
    const load = new Load(planOf(options, server, workMs));
    const askWitnesses = async () => {
      await untilSettled(load, options.clients);
      // All have sent, or are about to. Ask in the middle of the work.
      if (options.holdMs > 0) print(describeInspection(server, log, workMs));
      await sleep(Math.min(workMs / 2, 1500));
      const working = scoreboard.countWorking();
      const instant = { working, kernel: kernel(), silent: silent?.countOpen() ?? 0 };
      scoreboard.close();
      return instant;
    };
    const [client, instant] = await Promise.all([load.run(), askWitnesses()]);
    writeFileSync(join(folder, "client.json"), `${JSON.stringify(client, null, 2)}\n`);
    print(
      `  clients   ${showCount(client.greeted.clients)} connected and greeted in ${showDuration(client.connectMs.max)}, then all send at once\n`,
    );
    return { folder, server, log, client, instant };
  } finally {
    silent?.close();
    await server.stop();
  }
}

/** Only root may read it. */
function describeMemory({ pid }: StartedServer): string[] {
  const scoreboard = openScoreboardOf(pid);
  const children = scoreboard.snapshot().filter(({ state }) => state !== "vacant");
  scoreboard.close();
  const memory = memoryOfChildren(children.map((child) => child.pid));
  return memory ? [`${showBytes(memory.bytesOfChildren)} of private memory`] : [];
}

/**
 * Returns what asks the kernel how many clients are with a process of their own. With a process for
 * each connection, these are the accepted connections. With one for each request the keeper has
 * accepted all; these are the children that hold one descriptor more than at rest, which they are now.
 */
function kernelWitness(
  { processPer }: DemoOptions,
  { port }: StartedServer,
  scoreboard: Scoreboard,
): () => number | null {
  if (processPer === "connection") return () => countAccepted(port);
  const pids = scoreboard.snapshot().map(({ pid }) => pid);
  const atRest = pids.map(countDescriptors);
  if (atRest.includes(undefined)) return () => null;
  return () => pids.filter((pid, i) => countDescriptors(pid) === (atRest[i] ?? 0) + 1).length;
}

function planOf(options: DemoOptions, server: StartedServer, workMs: number): LoadPlan {
  const { clients, children, processPer } = options;
  // A client that finds all children busy is served after them.
  const rounds = processPer === "request" && clients > children ? 2 : 1;
  return {
    host: "localhost",
    addresses: [server.address],
    port: server.port,
    clients,
    message: `${USER}:demo`,
    requests: 1,
    durationMs: 0,
    rate: 0,
    rampMs: 0,
    window: windowOf(),
    barrier: true,
    reconnect: false,
    processPer,
    connectTimeoutMs: GREETED_WITHIN_MS,
    replyTimeoutMs: rounds * workMs + 10_000,
    osThreads: DEFAULT_OS_THREADS,
  };
}

/** Clients that connect at a time: the accept queue has room for twice as many, so no SYN is sent again. */
const windowOf = () => Math.max(1, Math.floor(defaultBacklog() / 2));

/** Waits until every client has been greeted or has failed: then the barrier opens. */
async function untilSettled(load: Load, clients: number): Promise<void> {
  const deadline = Date.now() + GREETED_WITHIN_MS * Math.ceil(clients / windowOf()) + 5000;
  while (load.settled() < clients && Date.now() < deadline) await sleep(5);
}

/** Measures the requests a second without work: what processes and log can take. */
export async function measureSpeed(options: DemoOptions, folder: string): Promise<number> {
  const clients = Math.min(options.children, SPEED_CLIENTS);
  const log = join(folder, "speed.log");
  const server = await startServer({
    children: clients,
    work: "none",
    log,
    args: [...GRACE, ...modeOf(options)],
  });
  try {
    const load = new Load({
      ...planOf({ ...options, clients }, server, 0),
      requests: SPEED_REQUESTS,
    });
    return (await load.run()).requestsPerSecond;
  } finally {
    await server.stop();
  }
}

function describeInspection(server: StartedServer, log: string, workMs: number): string {
  return [
    `  at the peak for ${writeDuration(workMs)}; in another terminal:`,
    `    ss -Htn state established sport = :${server.port} | wc -l`,
    `    ps -C kilofork-child -o pid,stat,wchan:20,etime | head`,
    `    egrep -c 'recvd.*demo' ${log}; egrep -c 'completed.*demo' ${log}`,
    "",
  ].join("\n");
}
