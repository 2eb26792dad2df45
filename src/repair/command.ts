/** `kilofork repair`: a clean copy of a log, after a crash. */
import type { Command } from "commander";
import { jsonOption } from "../command/arguments";
import { type RepairOptions, repair } from "./repair";
import { showRepair } from "./text";

export function addRepair(program: Command): void {
  program
    .command("repair")
    .summary("make a clean copy of a log, after a crash")
    .description(
      "Copies every whole record, and leaves out what is torn, foreign or destroyed. Reports what was left out, and where. Does not change the log.",
    )
    .argument("<log>", "log file of a server")
    .requiredOption("--out <file>", "file for the copy; must not exist")
    .option(
      "--rejected <file>",
      "file for what is left out: a line each with offset, kind and bytes",
    )
    .addOption(jsonOption())
    .action(
      (log: string, { out, rejected, json }: Omit<RepairOptions, "log"> & { json: boolean }) => {
        const result = repair({ log, out, rejected });
        const text = json ? JSON.stringify(result, null, 2) : showRepair(result);
        process.stdout.write(`${text}\n`);
      },
    );
}
