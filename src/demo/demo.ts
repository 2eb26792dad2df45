/**
 * `kilofork demo`: a server, its clients and the audit in one go. Each of the four witnesses of
 * docs/concurrency.md is asked for itself, and every one of them can contradict the others.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type AuditResult, audit } from "../audit/audit";
import { KiloforkError } from "../base/errors";
import { plural, showCount, showDuration, writeDuration } from "../base/units";
import { type ClientResult, DEFAULT_OS_THREADS, Load, type LoadPlan } from "../client/load";
import { EXIT } from "../command/exit";
import { lostOutput } from "../command/output";
import { type StartedServer, startServer } from "../harness/server";
import { countAccepted, countWorking } from "../harness/witnesses";
import { problemsOfClient, readMachine } from "../machine/capacity";
import { readMemory } from "../machine/memory";
import { openScoreboardOf } from "../status/servers";
import { drawInFlight, type Point } from "./picture";

export interface DemoOptions {
  readonly clients: number;
  readonly children: number;
  readonly workMs: number;
  /** Stay at the peak for so long, for looking with other tools; 0: no. */
  readonly holdMs: number;
  readonly json: boolean;
}

interface Instant {
  readonly working: number;
  readonly accepted: number;
}

interface Evidence {
  readonly folder: string;
  readonly server: StartedServer;
  readonly log: string;
  readonly client: ClientResult;
  readonly instant: Instant;
}

/** For a client to be greeted: those that no child is left for must not hold us up. */
const GREETED_WITHIN_MS = 2000;
const SPEED_REQUESTS = 100;
const SPEED_CLIENTS = 100;
const USER = "arijort";

export async function runDemo(options: DemoOptions): Promise<number> {
  const workMs = options.holdMs > 0 ? options.holdMs : options.workMs;
  if (workMs === 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      "--work 0: without work there is no instant at which all are busy",
    );
  const problems = problemsOfClient(readMachine(), options);
  if (problems.length > 0) throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"));
  const folder = mkdtempSync(join(tmpdir(), "kilofork-demo-"));
  // Nobody would know of the folder. The servers end with us.
  process.stdout.on("error", (error) => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(lostOutput(error));
  });
  const print = (text: string) => {
    if (!options.json) process.stdout.write(`${text}\n`);
  };
  print(
    `${plural(options.clients, "client")}, ${plural(options.children, "server process", "server processes")}, ${writeDuration(workMs)} of work each. ${cpus().length} CPUs: concurrent, not parallel.`,
  );
  print("Concurrent = received by a process of its own and not yet answered.\n");

  const evidence = await gather(options, workMs, folder, print);
  const points: Point[] = [];
  const result = audit({
    logs: [evidence.log],
    client: evidence.client,
    atLeast: options.clients,
    all: false,
    onChange: (timeMs, inFlight) => points.push({ timeMs, inFlight }),
  });
  const speed = await measureSpeed(Math.min(options.children, SPEED_CLIENTS), folder);
  const outcome = judge(options, evidence, result, speed);
  print(showOutcome(outcome, points, workMs));
  if (options.json) process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
  return outcome.ok ? EXIT.yes : EXIT.no;
}

/** The result, as `--json` gives it. */
interface Outcome {
  readonly kind: "demo";
  readonly schema: 1;
  readonly ok: boolean;
  readonly problems: readonly string[];
  /** What every witness saw at one instant: the least of their numbers. */
  readonly concurrent: number;
  readonly clients: number;
  readonly children: number;
  readonly witnesses: {
    readonly client: ClientResult["inFlight"];
    readonly log: { readonly peak: number; readonly pids: number; readonly heldMs: number };
    readonly memory: number;
    readonly kernel: number;
  };
  readonly books: {
    readonly replies: number;
    readonly counted: number;
    readonly completed: number;
    readonly balanced: boolean;
  };
  readonly upMs: number;
  readonly requestsPerSecond: number;
  readonly requestsPerSecondNoWork: number;
  readonly evidence: string;
}

function judge(
  options: DemoOptions,
  { client, instant, folder, server, log }: Evidence,
  result: AuditResult,
  speed: number,
): Outcome {
  const [run] = result.runs;
  const witnesses = {
    client: client.inFlight,
    log: { peak: run?.peak ?? 0, pids: run?.pids ?? 0, heldMs: run?.peakHeldMs ?? 0 },
    memory: instant.working,
    kernel: instant.accepted,
  };
  const concurrent = Math.min(
    witnesses.client.pids,
    witnesses.log.pids,
    witnesses.memory,
    witnesses.kernel,
  );
  return {
    kind: "demo",
    schema: 1,
    ok: result.ok && client.ok && concurrent >= options.clients,
    problems: [...new Set([...client.problems, ...result.problems])],
    concurrent,
    clients: options.clients,
    children: options.children,
    witnesses,
    books: {
      replies: client.requests.verified,
      counted: run?.ledger.counted ?? 0,
      completed: run?.ledger.completed ?? 0,
      balanced: audit({ logs: [log], client, atLeast: 0, all: false }).ok,
    },
    upMs: server.upMs,
    requestsPerSecond: client.requestsPerSecond,
    requestsPerSecondNoWork: speed,
    evidence: folder,
  };
}

function showOutcome(outcome: Outcome, points: readonly Point[], workMs: number): string {
  const { witnesses, books, clients } = outcome;
  const { client, log, memory, kernel } = witnesses;
  const row = (name: string, text: string) => `  ${name.padEnd(10)}${text}`;
  const seen = (text: string, proof: string) => `${text.padEnd(40)}${proof}`;
  const rate = `${showCount(outcome.requestsPerSecond)} requests/s (${writeDuration(workMs)} of work allows ${showCount((clients * 1000) / workMs)})`;
  return [
    "  in flight",
    ...drawInFlight(points, clients, workMs / 3).map((line) => `  ${line}`),
    "",
    row("witness", "at one instant"),
    row(
      "client",
      seen(
        `${client.peak} greeted by ${client.pids} pids, unanswered`,
        `for ${showDuration(client.heldMs)}`,
      ),
    ),
    row(
      "log",
      seen(
        `${log.peak} received, not completed`,
        `for ${showDuration(log.heldMs)}, ${log.pids} pids`,
      ),
    ),
    row("memory", seen(`${memory} slots working`, "one snapshot")),
    row("kernel", seen(`${kernel} accepted connections`, "/proc/net/tcp")),
    "",
    row(
      "books",
      `${books.replies} replies <= ${books.counted} counted <= ${books.completed} completed    ${books.balanced ? "balanced" : "NOT BALANCED"}`,
    ),
    row("speed", `${rate}; ${showCount(outcome.requestsPerSecondNoWork)}/s with --work none`),
    "",
    ...outcome.problems.map((problem) => `  ${problem}`),
    `${outcome.ok ? "PROVED" : "NOT PROVED"}  ${outcome.concurrent} of ${clients} concurrent.   Evidence: ${outcome.evidence}`,
    "        Look yourself: kilofork demo --hold    See it fail: kilofork demo --children 999",
  ].join("\n");
}

async function gather(
  options: DemoOptions,
  workMs: number,
  folder: string,
  print: (text: string) => void,
): Promise<Evidence> {
  const before = readMemory().inUse;
  const log = join(folder, "server.log");
  const server = await startServer({ children: options.children, work: `sleep:${workMs}ms`, log });
  try {
    const memoryBytes = Math.max(0, readMemory().inUse - before);
    print(
      `  server    ${plural(options.children, "child", "children")} up in ${server.upMs} ms, ${Math.round(memoryBytes / 2 ** 20)} MB, ${server.address}:${server.port}`,
    );
    const load = new Load(planOf(options.clients, server, workMs));
    const look = async () => {
      await untilSettled(load, options.clients);
      // All have sent, or are about to: look once in the middle of the work.
      if (options.holdMs > 0) print(howToLook(server, log, workMs));
      await sleep(Math.min(workMs / 2, 1500));
      const scoreboard = openScoreboardOf(server.pid);
      const instant = { working: countWorking(scoreboard), accepted: countAccepted(server.port) };
      scoreboard.close();
      return instant;
    };
    const [client, instant] = await Promise.all([load.run(), look()]);
    writeFileSync(join(folder, "client.json"), `${JSON.stringify(client, null, 2)}\n`);
    print(
      `  clients   ${showCount(client.greeted.clients)} connected and greeted in ${showDuration(client.connectMs.max)}, then all send at once\n`,
    );
    return { folder, server, log, client, instant };
  } finally {
    await server.stop();
  }
}

function planOf(clients: number, server: StartedServer, workMs: number): LoadPlan {
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
    barrier: true,
    reconnect: false,
    connectTimeoutMs: GREETED_WITHIN_MS,
    replyTimeoutMs: workMs + 10_000,
    osThreads: DEFAULT_OS_THREADS,
  };
}

/** The barrier opens when every client has been greeted or has given up. */
async function untilSettled(load: Load, clients: number): Promise<void> {
  const deadline = Date.now() + GREETED_WITHIN_MS + 5000;
  while (load.settled() < clients && Date.now() < deadline) await sleep(5);
}

/** The same server without work: how many requests a second go through processes and log. */
async function measureSpeed(clients: number, folder: string): Promise<number> {
  const log = join(folder, "speed.log");
  const server = await startServer({ children: clients, work: "none", log });
  try {
    const load = new Load({ ...planOf(clients, server, 0), requests: SPEED_REQUESTS });
    return (await load.run()).requestsPerSecond;
  } finally {
    await server.stop();
  }
}

function howToLook(server: StartedServer, log: string, workMs: number): string {
  return [
    `  at the peak for ${writeDuration(workMs)}; look from another terminal:`,
    `    ss -Htn state established sport = :${server.port} | wc -l`,
    `    ps -C kilofork-child -o pid,stat,wchan:20,etime | head`,
    `    egrep -c 'recvd.*demo' ${log}; egrep -c 'completed.*demo' ${log}`,
    "",
  ].join("\n");
}
