/** `kilofork repair`: a clean copy of a log, after a crash. */
import type { Command } from "commander";
import { plural, showCount } from "../base/units";
import { jsonOption } from "../command/arguments";
import { showDamage } from "../log/damage";
import { type RepairOptions, type RepairResult, repair } from "./repair";

export function addRepair(program: Command): void {
  program
    .command("repair")
    .summary("make a clean copy of a log, after a crash")
    .description(
      "Copies every whole record, and leaves out what is torn, foreign or destroyed. Reports what was left out, and where. The log itself is only read.",
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
        const text = json ? JSON.stringify(result, null, 2) : summarizeRepair(result);
        process.stdout.write(`${text}\n`);
      },
    );
}

function summarizeRepair(result: RepairResult): string {
  const { log, out, rejected, heldByServer, kept, leftOut } = result;
  const line = (name: string, text: string) => `${name.padEnd(10)}${text}`;
  const when = (condition: boolean, text: string) => (condition ? [line("", text)] : []);
  const isDamaged = leftOut.damage.some(({ harmless }) => !harmless);
  const isTorn = leftOut.damage.some(({ kind }) => kind === "tornTail");
  return [
    line("log", `${log}, ${showCount(kept.bytes + leftOut.bytes)} bytes`),
    ...when(heldByServer, `a running server writes to it: what comes after this is not in ${out}`),
    line("kept", `${plural(kept.records, "record")}, ${showCount(kept.bytes)} bytes, in ${out}`),
    line("left out", `${showCount(leftOut.bytes)} bytes${rejected ? `, in ${rejected}` : ""}`),
    ...showDamage(leftOut.damage, [log]),
    ...when(heldByServer && isTorn, "the torn tail may be a record that was just being written"),
    ...when(isDamaged, "records may have been destroyed: then the books do not balance"),
    line("next", `kilofork audit ${out}`),
  ].join("\n");
}
