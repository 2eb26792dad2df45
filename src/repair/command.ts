/** `kilofork repair`: what it prints, and how it exits. */

import { plural, showCount } from "../base/units";
import { EXIT } from "../command/exit";
import { showDamage } from "../log/damage";
import { type RepairOptions, type RepairResult, repair } from "./repair";

export function runRepair(options: RepairOptions, json: boolean): number {
  const result = repair(options);
  process.stdout.write(`${json ? JSON.stringify(result, null, 2) : summarizeRepair(result)}\n`);
  return EXIT.yes;
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
