/** The text of `kilofork repair`: a function of its result and of nothing else. */
import { plural, showCount } from "../base/units";
import { showDamage } from "../log/damage";
import type { RepairResult } from "./repair";

export function showRepair(result: RepairResult): string {
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
