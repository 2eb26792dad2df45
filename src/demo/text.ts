/** The text of `kilofork demo`: a function of its outcome and of nothing else. */
import { showCount, showDuration, writeDuration } from "../base/units";
import type { Outcome } from "./outcome";
import { drawInFlight, type Point } from "./picture";

/** `columns`: the width of the terminal, for the picture. */
export function showOutcome(
  outcome: Outcome,
  points: readonly Point[],
  workMs: number,
  columns: number,
): string {
  const { witnesses, books, clients, processPer, silent } = outcome;
  const perRequest = processPer === "request";
  const { client, log, memory, kernel } = witnesses;
  const command = `kilofork demo${perRequest ? " --process-per request" : ""}`;
  const row = (name: string, text: string) => `  ${name.padEnd(10)}${text}`;
  const seen = (text: string, proof: string) => `${text.padEnd(40)}${proof}`;
  const rate = `${showCount(outcome.requestsPerSecond)} requests/s (${writeDuration(workMs)} of work allows ${showCount((clients * 1000) / workMs)})`;
  return [
    "  in flight",
    ...drawInFlight(points, clients, workMs / 3, columns - 2).map((line) => `  ${line}`),
    "",
    row("witness", "at one instant"),
    row(
      "client",
      seen(
        perRequest
          ? `${client.peak} unanswered; replies of ${client.pids} pids`
          : `${client.peak} greeted by ${client.pids} pids, unanswered`,
        `for ${showDuration(client.heldMs)}`,
      ),
    ),
    row(
      "log",
      seen(
        `${log.peak} received, not completed`,
        `for ${showDuration(log.heldMs)}, ${log.pids} pids`,
      ),
    ),
    row("memory", seen(`${memory} slots working`, "one snapshot")),
    row(
      "kernel",
      perRequest
        ? seen(`${kernel} children hold a connection`, "/proc/PID/fd, against those at rest")
        : seen(`${kernel} accepted connections`, "/proc/net/tcp"),
    ),
    ...(silent > 0
      ? [row("silent", seen(`${silent} more connections open`, "without a process"))]
      : []),
    "",
    row(
      "books",
      `${books.replies} replies <= ${books.counted} counted <= ${books.completed} completed    ${books.balanced ? "balanced" : "NOT BALANCED"}`,
    ),
    row("speed", `${rate}; ${showCount(outcome.requestsPerSecondNoWork)}/s with --work none`),
    "",
    ...outcome.problems.map((problem) => `  ${problem}`),
    `${outcome.ok ? "PROVED" : "NOT PROVED"}  ${outcome.concurrent} of ${clients} concurrent.   Evidence: ${outcome.evidence ?? "removed (--keep)"}`,
    `        Look yourself: ${command} --hold\n        See it fail: ${command} --clients 1000 --children 999`,
  ].join("\n");
}
