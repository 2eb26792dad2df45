/**
 * `kilofork demo`: a server, its clients and the audit in one go. Each of the four witnesses of
 * docs/concurrency.md is asked for itself, and every one of them can contradict the others.
 */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "../audit/audit";
import { type ClientResult, Load, type LoadPlan } from "../client/load";
import { EXIT, failed } from "../errors";
import { problemsOfClient, readMachine } from "../limits";
import { plural, showCount, showDuration, writeDuration } from "../units";
import { drawInFlight, type Point } from "./picture";
import { type DemoServer, startServer } from "./server";
import { countAccepted, countWorking, openScoreboardOf } from "./witnesses";

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
  readonly server: DemoServer;
  readonly memoryBytes: number;
  readonly client: ClientResult;
  readonly instant: Instant;
}

/** How long a client waits to be greeted: those that no child is left for must not hold us up. */
const GREETED_WITHIN_MS = 2000;
const SPEED_REQUESTS = 100;
const SPEED_CLIENTS = 100;
const USER = "arijort";

export async function runDemo(options: DemoOptions): Promise<number> {
  const problems = problemsOfClient(readMachine(), options);
  if (problems.length > 0) throw failed(problems.join("\n"));
  const folder = mkdtempSync(join(tmpdir(), "kilofork-demo-"));
  const workMs = options.holdMs > 0 ? options.holdMs : options.workMs;
  const print = (text: string) => {
    if (!options.json) process.stdout.write(`${text}\n`);
  };
  print(
    `${plural(options.clients, "client")}, ${plural(options.children, "server process", "server processes")}, ${writeDuration(workMs)} of work each. ${cpus().length} CPUs: concurrent, not parallel.`,
  );
  print("Concurrent = received by a process of its own and not yet answered.\n");

  const evidence = await gather(options, workMs, folder, print);
  const points: Point[] = [];
  const clientFile = join(folder, "client.json");
  const log = join(folder, "server.log");
  const result = audit({
    logs: [log],
    client: evidence.client,
    atLeast: options.clients,
    all: false,
    onChange: (timeMs, inFlight) => points.push({ timeMs, inFlight }),
  });
  const speed = await measureSpeed(options.children, folder);

  const [run] = result.runs;
  const { client, instant } = evidence;
  const need = options.clients;
  const seen = Math.min(client.inFlight.pids, run?.pids ?? 0, instant.working, instant.accepted);
  const proved = result.ok && client.ok && seen >= need;
  const witness = (name: string, text: string) => print(`  ${name.padEnd(10)}${text}`);

  print("  in flight");
  for (const line of drawInFlight(points, need, workMs / 3)) print(`  ${line}`);
  print("");
  witness("witness", "at one instant");
  witness(
    "client",
    `${client.inFlight.peak} greeted by ${client.inFlight.pids} pids, unanswered   for ${showDuration(client.inFlight.heldMs)}`,
  );
  witness(
    "log",
    `${run?.peak ?? 0} received, not completed            for ${showDuration(run?.peakHeldMs ?? 0)}, ${run?.pids ?? 0} pids`,
  );
  witness("memory", `${instant.working} slots working                      one snapshot`);
  witness("kernel", `${instant.accepted} accepted connections               /proc/net/tcp`);
  print("");
  const ledger = run?.ledger;
  witness(
    "books",
    `${client.requests.verified} replies <= ${ledger?.counted} counted <= ${ledger?.completed} completed    ${result.ok ? "balanced" : "see below"}`,
  );
  witness(
    "speed",
    `${showCount(client.requestsPerSecond)} requests/s (${writeDuration(workMs)} of work allows ${showCount((need * 1000) / workMs)}); ${showCount(speed)}/s with --work none on ${SPEED_CLIENTS} connections`,
  );
  print("");
  for (const problem of new Set([...client.problems, ...result.problems])) print(`  ${problem}`);
  const verdict = `${seen} of ${need} concurrent`;
  print(
    proved
      ? `PROVED  ${verdict}.   Evidence: ${folder}`
      : `NOT PROVED  ${verdict}.   Evidence: ${folder}`,
  );
  print("        Look yourself: kilofork demo --hold    See it fail: kilofork demo --children 999");
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ kind: "demo", schema: 1, ok: proved, problems: [...client.problems, ...result.problems], concurrent: seen, clients: need, children: options.children, witnesses: { client: client.inFlight, log: { peak: run?.peak ?? 0, pids: run?.pids ?? 0, heldMs: run?.peakHeldMs ?? 0 }, memory: instant.working, kernel: instant.accepted }, upMs: evidence.server.upMs, requestsPerSecondNoWork: speed, evidence: { folder, log, client: clientFile } }, null, 2)}\n`,
    );
  return proved ? EXIT.yes : EXIT.no;
}

async function gather(
  options: DemoOptions,
  workMs: number,
  folder: string,
  print: (text: string) => void,
): Promise<Evidence> {
  const before = availableMemory();
  const log = join(folder, "server.log");
  const server = await startServer({ children: options.children, work: `sleep:${workMs}ms`, log });
  try {
    const memoryBytes = Math.max(0, before - availableMemory());
    print(
      `  server    ${plural(options.children, "child", "children")} up in ${server.upMs} ms, ${Math.round(memoryBytes / 2 ** 20)} MB, ${server.address}:${server.port}`,
    );
    const load = new Load(planOf(options, server, workMs));
    const running = load.run();
    await untilSettled(load, options.clients);
    // All have sent, or are about to: look once in the middle of the work.
    if (options.holdMs > 0) print(howToLook(server, log, workMs));
    await sleep(Math.min(workMs / 2, 1500));
    const scoreboard = openScoreboardOf(server.pid);
    const instant = { working: countWorking(scoreboard), accepted: countAccepted(server.port) };
    scoreboard.close();
    const client = await running;
    writeFileSync(join(folder, "client.json"), `${JSON.stringify(client, null, 2)}\n`);
    print(
      `  clients   ${showCount(client.greeted.clients)} connected and greeted in ${showDuration(client.connectMs.max)}, then all send at once\n`,
    );
    return { folder, server, memoryBytes, client, instant };
  } finally {
    await server.stop();
  }
}

function planOf(options: DemoOptions, server: DemoServer, workMs: number): LoadPlan {
  return {
    host: "localhost",
    addresses: [server.address],
    port: server.port,
    clients: options.clients,
    message: `${USER}:demo`,
    requests: 1,
    durationMs: 0,
    rate: 0,
    rampMs: 0,
    barrier: true,
    connectTimeoutMs: GREETED_WITHIN_MS,
    replyTimeoutMs: workMs + 10_000,
    osThreads: Math.min(cpus().length, 4),
  };
}

/** The barrier opens when every client has been greeted or has given up. */
async function untilSettled(load: Load, clients: number): Promise<void> {
  const deadline = Date.now() + GREETED_WITHIN_MS + 5000;
  while (load.settled() < clients && Date.now() < deadline) await sleep(5);
}

/** The same server without work: how many requests a second go through processes and log. */
async function measureSpeed(children: number, folder: string): Promise<number> {
  const server = await startServer({
    children: Math.min(children, SPEED_CLIENTS),
    work: "none",
    log: join(folder, "speed.log"),
  });
  try {
    const load = new Load({
      ...planOf(
        { clients: Math.min(children, SPEED_CLIENTS), children, workMs: 0, holdMs: 0, json: false },
        server,
        0,
      ),
      requests: SPEED_REQUESTS,
    });
    return (await load.run()).requestsPerSecond;
  } finally {
    await server.stop();
  }
}

function howToLook(server: DemoServer, log: string, workMs: number): string {
  return [
    `  at the peak for ${writeDuration(workMs)}; look from another terminal:`,
    `    ss -Htn state established sport = :${server.port} | wc -l`,
    `    ps -C kilofork-child -o pid,stat,wchan:20,etime | head`,
    `    egrep -c 'recvd.*demo' ${log}; egrep -c 'completed.*demo' ${log}`,
    "",
  ].join("\n");
}

function availableMemory(): number {
  const match = /MemAvailable:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"));
  return Number(match?.[1] ?? 0) * 1024;
}
