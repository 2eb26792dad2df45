/** `kilofork limit` on the command line. */
import { type Command, Option } from "commander";
import { KiloforkError } from "../base/errors";
import { MOST_CLIENTS } from "../base/ranges";
import { parsePercent } from "../base/units";
import { count, durationOption, inArgument, refuseOptions } from "../command/arguments";
import { runLimit } from "./limit-search";

export function addLimit(program: Command, exit: (code: number) => void): void {
  program
    .command("limit")
    .summary("finds the breaking point of this machine, and what breaks")
    .description(
      "Starts servers and clients of its own, doubles the load until it no longer holds, then " +
        "bisects. A load holds when every reply is right, log and clients agree that all were in " +
        "flight at one instant, and the 99th percentile of the reply is within --slo beyond the " +
        "work. Leaves 2,000 processes and a share of the memory to others, changes no setting of the " +
        "system, and can be interrupted at any time. Exit 3: the client was the bottleneck.",
    )
    .addOption(
      new Option(
        "--find <what>",
        "clients: the most at once, each with a process; rate: the most requests a second",
      )
        .choices(["clients", "rate"])
        .default("clients"),
    )
    .option(
      "--max-clients <n>",
      "no more than so many (default: as many as the machine has room for)",
      count("max-clients", 1, MOST_CLIENTS),
    )
    .option(
      "--connections <n>",
      "on which the rate is searched",
      count("connections", 1, MOST_CLIENTS),
      100,
    )
    .addOption(
      durationOption("--slo <D>", "99 of 100 replies may take so long beyond the work", "1s"),
    )
    .addOption(
      durationOption("--hold <D>", "all are to be in flight together for about so long", "3s"),
    )
    .addOption(
      new Option("--max-memory <P%>", "end before more than this share of all memory is in use")
        .argParser((text: string) => inArgument(() => parsePercent(text)))
        .default(parsePercent("70%"), "70%"),
    )
    .option("--repeats <n>", "a load must hold so many times in a row", count("repeats", 1, 100), 2)
    .option("--sweep", "then draw the whole curve, and throughput against connections", false)
    .option("--html <file>", "write one page with the plots")
    .option("--json", "print the result as one JSON object, nothing else", false)
    .action(async (options, command: Command) => {
      if (options.find === "clients") refuseOptions(command, ["connections"], "--find rate");
      else refuseOptions(command, ["hold"], "--find clients");
      if (options.slo === 0)
        throw new KiloforkError("ERR_ARGUMENT", "--slo 0: no reply takes no time");
      exit(
        await runLimit({
          find: options.find,
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
