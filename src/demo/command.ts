/**
 * `kilofork demo`: a server, its clients and the audit in one go. It asks the four witnesses of
 * docs/concurrency.md independently, so that each can contradict the others.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { audit } from "../audit/audit";
import { KiloforkError } from "../base/errors";
import { MOST_CLIENTS } from "../base/ranges";
import { parseDuration, plural, showCount, writeDuration } from "../base/units";
import {
  count,
  duration,
  durationOption,
  jsonOption,
  processPerOption,
  refuseOptions,
} from "../command/arguments";
import { EXIT, exitCodeOfSignal } from "../command/exit";
import { lostOutput } from "../command/output";
import { problemsOfClient, readMachine, roomForSilent } from "../machine/capacity";
import { inTemporaryFolder } from "../machine/files";
import { heeded } from "../machine/signals";
import { type DemoOptions, gather, measureSpeed } from "./demo";
import { judge, type Outcome } from "./outcome";
import type { Point } from "./picture";
import { showOutcome } from "./text";

const CLIENTS = 1000;
const MOST = 25_000;
/** For each client. */
const SILENT = 5;
const HOLD = "60s";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function addDemo(program: Command, exit: (code: number) => void): void {
  program
    .command("demo")
    .summary("run server, clients and audit in one go")
    .description(
      "Runs 1000 clients against 1000 processes, and asks four witnesses how many were served at one instant: the clients, the log, the shared memory and the kernel.",
    )
    .option(
      "--clients <n>",
      `number of clients (default: as many as children, or ${CLIENTS})`,
      count("clients", 1, MOST),
    )
    .option(
      "--children <n>",
      "number of server processes (default: as many as clients)",
      count("children", 1, MOST),
    )
    .addOption(processPerOption("what has a process of its own: each connection, or each request"))
    .option(
      "--silent <n>",
      `number of further connections that are open and silent, with --process-per request (default: ${SILENT} for each client, or as many as the limit of open files has room for)`,
      count("silent", 0, MOST_CLIENTS),
    )
    .addOption(durationOption("--work <D>", "duration of the work of each request", "3s"))
    .addOption(
      new Option(
        "--hold [D]",
        `stay at the peak for this time (${HOLD} if D is missing), to inspect it with other tools`,
      ).argParser(duration),
    )
    .option("--keep", "keep log and client's result as evidence, although all went well", false)
    .addOption(jsonOption())
    .action(async ({ work, hold, ...options }, command: Command) => {
      const holdMs = hold === true ? parseDuration(HOLD) : (hold ?? 0);
      const clients = options.clients ?? options.children ?? CLIENTS;
      const children = options.children ?? clients;
      const isPerRequest = options.processPer === "request";
      if (!isPerRequest) refuseOptions(command, ["silent"], "--process-per request");
      const silent = isPerRequest ? (options.silent ?? SILENT * clients) : 0;
      exit(await runDemo({ ...options, clients, children, silent, workMs: work, holdMs }));
    });
}

async function runDemo(wanted: DemoOptions): Promise<number> {
  const machine = readMachine();
  const room = roomForSilent(machine, wanted);
  const options = { ...wanted, silent: Math.min(wanted.silent, room) };
  const shortage =
    room < wanted.silent
      ? `, not ${showCount(wanted.silent)}: the limit of ${machine.filesMax} open files, or of ports, has no room for more`
      : undefined;
  const workMs = options.holdMs > 0 ? options.holdMs : options.workMs;
  if (workMs === 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      "--work 0: without work there is no instant at which all are busy",
    );
  const problems = problemsOfClient(machine, options);
  if (problems.length > 0) throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"));
  const folder = inTemporaryFolder((path) => mkdtempSync(join(path, "kilofork-demo-")));
  const discard = () => rmSync(folder, { recursive: true, force: true });
  // The servers end with this process.
  const leave = (code: number) => {
    if (!options.keep) discard();
    process.exit(code);
  };
  for (const signal of heeded(SIGNALS)) process.on(signal, () => leave(exitCodeOfSignal(signal)));
  // Without an output nobody learns of the folder.
  process.stdout.on("error", (error) => {
    discard();
    process.exit(lostOutput(error));
  });
  try {
    const outcome = await demonstrate(options, workMs, folder, shortage);
    if (outcome.evidence === null) discard();
    return outcome.ok ? EXIT.yes : EXIT.no;
  } catch (error) {
    discard(); // there is no client's result
    throw error;
  }
}

/** `shortage`: why there are fewer silent connections than wanted. */
async function demonstrate(
  options: DemoOptions,
  workMs: number,
  folder: string,
  shortage: string | undefined,
): Promise<Outcome> {
  const print = (text: string) => {
    if (!options.json) process.stdout.write(`${text}\n`);
  };
  print(
    `${plural(options.clients, "client")}, ${plural(options.children, "server process", "server processes")}, ${writeDuration(workMs)} of work each. ${cpus().length} CPUs: concurrent, not parallel.`,
  );
  if (shortage !== undefined || options.silent > 0)
    print(`${plural(options.silent, "more connection")} open and silent${shortage ?? ""}.`);
  print("Concurrent = received by a process of its own and not yet answered.\n");

  const evidence = await gather(options, workMs, folder, print);
  const points: Point[] = [];
  const result = audit({
    logs: [evidence.log],
    clients: [evidence.client],
    atLeast: options.clients,
    all: false,
    onChange: (timeMs, inFlight) => points.push({ timeMs, inFlight }),
  });
  const speed = await measureSpeed(options, folder);
  const outcome = judge(options, evidence, result, speed);
  print(showOutcome(outcome, points, workMs, process.stdout.columns ?? 80));
  if (options.json) process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
  return outcome;
}
