/**
 * `kilofork demo`: a server, its clients and the audit in one go. It asks the four witnesses of
 * docs/concurrency.md independently, so that each can contradict the others.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { audit } from "../audit/audit";
import { KiloforkError } from "../base/errors";
import { parseDuration, plural, writeDuration } from "../base/units";
import { count, duration, durationOption, jsonOption } from "../command/arguments";
import { EXIT } from "../command/exit";
import { lostOutput } from "../command/output";
import { problemsOfClient, readMachine } from "../machine/capacity";
import { type DemoOptions, gather, measureSpeed } from "./demo";
import { judge } from "./outcome";
import type { Point } from "./picture";
import { showOutcome } from "./text";

const MOST = 25_000;
const SPEED_CLIENTS = 100;
const HOLD = "60s";

export function addDemo(program: Command, exit: (code: number) => void): void {
  program
    .command("demo")
    .summary("run server, clients and audit in one go")
    .description(
      "Runs 1000 clients against 1000 processes, and asks four witnesses how many were served at one instant: the clients, the log, the shared memory and the kernel.",
    )
    .option("--clients <n>", "number of clients", count("clients", 1, MOST), 1000)
    .option(
      "--children <n>",
      "number of server processes (default: as many as clients)",
      count("children", 1, MOST),
    )
    .addOption(durationOption("--work <D>", "duration of the work of each request", "3s"))
    .addOption(
      new Option(
        "--hold [D]",
        `stay at the peak for this time (${HOLD} if D is missing), to inspect it with other tools`,
      ).argParser(duration),
    )
    .addOption(jsonOption())
    .action(async ({ clients, children, work, hold, json }) => {
      const holdMs = hold === true ? parseDuration(HOLD) : (hold ?? 0);
      exit(await runDemo({ clients, children: children ?? clients, workMs: work, holdMs, json }));
    });
}

async function runDemo(options: DemoOptions): Promise<number> {
  const workMs = options.holdMs > 0 ? options.holdMs : options.workMs;
  if (workMs === 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      "--work 0: without work there is no instant at which all are busy",
    );
  const problems = problemsOfClient(readMachine(), options);
  if (problems.length > 0) throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"));
  const folder = mkdtempSync(join(tmpdir(), "kilofork-demo-"));
  // Without an output nobody learns of the folder, so remove it. The servers end with this process.
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
    clients: [evidence.client],
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
