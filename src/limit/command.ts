/**
 * `kilofork limit`: finds the breaking point of this machine and what breaks. It leaves no process,
 * even when it is killed: each process that it starts also ends with its standard input.
 */
import { type Command, Option } from "commander";
import { KiloforkError } from "../base/errors";
import { MOST_CLIENTS } from "../base/ranges";
import { parsePercent, plural, showCount } from "../base/units";
import {
  count,
  durationOption,
  inArgument,
  jsonOption,
  processPerOption,
  refuseOptions,
} from "../command/arguments";
import { EXIT, exitCodeOfSignal } from "../command/exit";
import { lostOutput, openResult } from "../command/output";
import { readMachine } from "../machine/capacity";
import { heeded } from "../machine/signals";
import { boundsOf } from "./bounds";
import { CLIENT } from "./judge";
import { LimitSearch } from "./limit";
import { drawPage } from "./page";
import type { LimitOptions, LimitResult } from "./result";
import { showResult } from "./text";

export function addLimit(program: Command, exit: (code: number) => void): void {
  program
    .command("limit")
    .summary("find the breaking point of this machine, and what breaks")
    .description(
      "Starts servers and clients of its own, doubles the load until it no longer holds, then " +
        "bisects. A load holds when every reply is right, log and clients agree that all were in " +
        "flight at one instant, and the 99th percentile of the reply is within --slo beyond the " +
        "work. Leaves 2,000 processes and a share of the memory to others, changes no setting of the " +
        "system, and can be interrupted at any time. Exits 3 when the client was the bottleneck.",
    )
    .addOption(
      new Option(
        "--find <what>",
        "what to search: the maximum number of clients at one instant, each served by a process of its own; or the maximum rate of requests",
      )
        .choices(["clients", "rate"])
        .default("clients"),
    )
    .addOption(
      processPerOption(
        "what has a process of its own in the servers: each connection, or each request",
      ),
    )
    .option(
      "--max-clients <n>",
      "maximum number of clients (default: what the machine has room for)",
      count("max-clients", 1, MOST_CLIENTS),
    )
    .option(
      "--connections <n>",
      "number of connections for --find rate",
      count("connections", 1, MOST_CLIENTS),
      100,
    )
    .addOption(
      durationOption(
        "--slo <D>",
        "maximum of the 99th percentile of the time that a reply takes beyond the work",
        "1s",
      ),
    )
    .addOption(
      durationOption(
        "--hold <D>",
        "approximate time that all requests are in flight together",
        "3s",
      ),
    )
    .addOption(
      new Option("--max-memory <P%>", "maximum share of the memory of the system in use")
        .argParser((text: string) => inArgument(() => parsePercent(text)))
        .default(parsePercent("70%"), "70%"),
    )
    .option(
      "--repeats <n>",
      "number of times in a row that a load must hold",
      count("repeats", 1, 100),
      2,
    )
    .option("--sweep", "then measure the whole curve, and the throughput by connections", false)
    .option("--html <file>", "file for a page with the plots")
    .addOption(jsonOption())
    .action(async (options, command: Command) => {
      if (options.find === "clients") refuseOptions(command, ["connections"], "--find rate");
      else refuseOptions(command, ["hold"], "--find clients");
      if (options.slo === 0)
        throw new KiloforkError(
          "ERR_ARGUMENT",
          "--slo 0: every reply takes some time; give a longer one",
        );
      exit(
        await runLimit({
          find: options.find,
          processPer: options.processPer,
          maxClients: options.maxClients,
          connections: options.connections,
          sloMs: options.slo,
          holdMs: options.hold,
          maxMemoryShare: options.maxMemory,
          repeats: options.repeats,
          sweep: options.sweep,
          json: options.json,
          html: options.html,
        }),
      );
    });
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

async function runLimit(options: LimitOptions): Promise<number> {
  const machine = readMachine();
  const bounds = boundsOf(machine, options);
  const [tightest] = bounds;
  const need = options.find === "rate" ? options.connections : 1;
  if (!tightest || tightest.clients < need)
    throw new KiloforkError(
      "ERR_MACHINE_LIMIT",
      `no room for ${plural(need, "client")} beside what is left to others: ${tightest?.name} has room for ${showCount(tightest?.clients ?? 0)} (${tightest?.setting})`,
    );
  const savePage = openResult(options.html, "page");
  const stopped = new AbortController();
  let signal: (typeof SIGNALS)[number] | undefined;
  const handlers = heeded(SIGNALS).map((name) => {
    const handler = () => {
      signal ??= name;
      stopped.abort();
    };
    process.on(name, handler);
    return { name, handler };
  });
  let lost: number | undefined;
  const loseOutput = (error: Error) => {
    lost ??= lostOutput(error);
    stopped.abort();
  };
  process.stdout.on("error", loseOutput);
  const limitSearch = new LimitSearch(options, machine, bounds, stopped.signal);
  try {
    const result = await limitSearch.run();
    const text = options.json ? JSON.stringify(result, null, 2) : showResult(result);
    if (lost === undefined) process.stdout.write(`${text}\n`);
    savePage?.(drawPage(result));
    return lost ?? exitCode(result, signal);
  } finally {
    process.stdout.removeListener("error", loseOutput);
    for (const { name, handler } of handlers) process.removeListener(name, handler);
  }
}

function exitCode(result: LimitResult, signal: (typeof SIGNALS)[number] | undefined): number {
  if (signal !== undefined) return exitCodeOfSignal(signal);
  if (result.firstLimit?.name === CLIENT) return EXIT.noVerdict;
  return result.ok ? EXIT.yes : EXIT.no;
}
