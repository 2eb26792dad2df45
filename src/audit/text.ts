/** The text of `kilofork audit`: a function of its result and of nothing else. */
import { sum } from "../base/numbers";
import { plural, showCount, showDuration } from "../base/units";
import { showDamage } from "../log/damage";
import type { AuditResult } from "./audit";
import { offsetAt } from "./log-clock";
import type { Ledger, RunReport } from "./run";

export function showAudit(result: AuditResult, clientFiles: readonly string[]): string {
  const { client } = result;
  const parts = result.runs.map((run, i) => {
    const first = result.runsInLog - result.runs.length + i + 1;
    return showRun(run, result, first, clientFiles);
  });
  const peak = result.runs.at(-1)?.peak ?? 0;
  const condition = result.atLeast > 0 ? `; peak ${peak} >= ${result.atLeast}` : "";
  const sides = client ? "of both sides " : "";
  const last = result.runs.at(-1);
  const open = last?.begun && last.ended ? "" : ", as far as the log goes";
  parts.push(result.ok ? `OK  the books ${sides}balance${open}${condition}` : "NOT OK");
  return parts.join("\n\n");
}

function showRun(
  run: RunReport,
  { logs, runsInLog, damagedBefore, client }: AuditResult,
  number: number,
  clientFiles: readonly string[],
): string {
  const line = (name: string, text: string) => `${name.padEnd(9)}${text}`;
  const row = (name: string, text: string) => `  ${name.padEnd(13)}${text}`;
  const clock = (ms: number) => showTime(ms, offsetAt(run.utcOffsets, ms));
  const span = (of: RunReport["received"]) =>
    of.count === 0
      ? "0"
      : `${showCount(of.count)}   ${clock(of.firstMs)} to ${clock(of.lastMs)}   window ${showDuration(of.lastMs - of.firstMs)}`;
  const which =
    number === runsInLog ? `last of ${plural(runsInLog, "run")}` : `run ${number} of ${runsInLog}`;
  const server =
    run.server > 0 ? `server ${run.server} at ${run.where}` : "its start is not in the log";
  const damaged = run.ledger.damage.find(({ harmless }) => !harmless)?.places[0];
  return [
    line(
      "log",
      `${logs.join(", ")}, ${which}: ${server}, ${showDate(run.startedMs, run.utcOffsetMinutes)}`,
    ),
    ...(client
      ? [
          line(
            "client",
            `${clientFiles.join(", ")}: ${plural(client.clients, "client")}, ${plural(client.verified, "reply", "replies")} verified`,
          ),
        ]
      : []),
    ...(run.ended
      ? []
      : [
          line(
            "",
            run.ledger.countedFrom === "shared memory"
              ? "the server still runs: what it counted is from its shared memory"
              : "the log does not have the end of the run: the server still runs, or was killed",
          ),
        ]),
    ...(damagedBefore > 0
      ? [
          line(
            "",
            `earlier runs are damaged at ${plural(damagedBefore, "place")}: --all shows them`,
          ),
        ]
      : []),
    "",
    "CONCURRENCY    received by a process, not yet completed",
    row(
      "peak",
      `${showCount(run.peak)} in ${plural(run.pids, "distinct process", "distinct processes")}`,
    ),
    row(
      "held",
      `${showDuration(run.peakHeldMs)}   ${clock(run.peakFromMs)} to ${clock(run.peakFromMs + run.peakHeldMs)}`,
    ),
    row(
      "average",
      `${run.average.toFixed(run.average < 10 ? 1 : 0)} over ${showDuration(run.averageOverMs)}`,
    ),
    row("received", span(run.received)),
    row("completed", span(run.completed)),
    ...(client
      ? [
          row(
            "client saw",
            `${showCount(client.peak)} for ${showDuration(client.heldMs)} in ${plural(client.pids, "process", "processes")}${client.containsLogPeak ? ", all of the log's time included" : ""}`,
          ),
        ]
      : []),
    "",
    "LEDGER",
    ...ledgerTable(run, client?.verified),
    row("received, not completed", `  ${showCount(run.ledger.unfinished)}`),
    row("refused", showRefused(run.ledger.refused)),
    row(
      "ended",
      `${showCount(run.ledger.left)} children by order, ${showCount(run.ledger.died)} abnormally`,
    ),
    row(
      "torn or foreign lines",
      `  ${showCount(sum(run.ledger.damage.map(({ count }) => count)))}`,
    ),
    ...showDamage(run.ledger.damage, logs).map((text) => `  ${text}`),
    ...(damaged ? [row("next", `kilofork repair ${damaged.log} --out <file>`)] : []),
  ].join("\n");
}

function ledgerTable(run: RunReport, replies: number | undefined): string[] {
  const { ledger, ended } = run;
  const { counted, completed, died, takenBack: retracted } = ledger;
  const isTotalMissing = ledger.countedFrom === null && !ended;
  const total = isTotalMissing ? "?" : showCount(counted);
  const cells: [string, string][] = [
    ...(replies === undefined ? [] : ([["replies", showCount(replies)]] as [string, string][])),
    ["counted", total],
    ["completed", showCount(completed)],
    ["counted + died", `${total} + ${showCount(died)}`],
  ];
  const last = cells.at(-1);
  if (last && retracted > 0) {
    last[0] += " + not acknowledged";
    last[1] += ` + ${showCount(retracted)}`;
  }
  const widths = cells.map(([name, value]) => Math.max(name.length, value.length));
  const join = (pick: (cell: [string, string]) => string, between: string) =>
    cells.map((cell, i) => pick(cell).padStart(widths[i] ?? 0)).join(between);
  return [
    `  ${join(([name]) => name, "      ")}`,
    `  ${join(([, value]) => value, "  <=  ")}   ${verdictOf(run, replies)}`,
  ];
}

function verdictOf({ ledger, begun, ended }: RunReport, replies: number | undefined): string {
  const { counted, countedFrom, completed, died, takenBack: retracted } = ledger;
  const balances =
    (replies === undefined || replies <= counted) && counted <= completed - retracted;
  if (!ended && countedFrom === null) return "the total is not written yet";
  if (balances && completed <= counted + died + retracted) return "ok";
  if (!begun) return "its start is missing";
  // Between the two readings of a running server, more may have been completed.
  if (!ended && countedFrom === "shared memory" && balances) return "ok so far";
  return ended || countedFrom === "shared memory"
    ? "DOES NOT BALANCE"
    : "the last total is missing";
}

function showRefused(refused: Ledger["refused"]): string {
  const kinds = Object.entries(refused);
  const total = sum(kinds.map(([, count]) => count));
  const list = kinds.map(([code, count]) => `${code} ${showCount(count)}`).join(", ");
  return list ? `${showCount(total)} (${list})` : "0";
}

/** `16:44:57.317`, in the time zone of the log. */
function showTime(ms: number, offsetMinutes: number): string {
  return new Date(ms + offsetMinutes * 60_000).toISOString().slice(11, 23);
}

/** `2026-11-22 16:44:55 +01:00`. */
function showDate(ms: number, offsetMinutes: number): string {
  const local = new Date(ms + offsetMinutes * 60_000).toISOString();
  const two = (n: number) => String(Math.trunc(Math.abs(n))).padStart(2, "0");
  const sign = offsetMinutes < 0 ? "-" : "+";
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${sign}${two(offsetMinutes / 60)}:${two(offsetMinutes % 60)}`;
}
