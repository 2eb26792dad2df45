/** The original project's own figures, as its page gives them, beside those of this run. */

import { showCount } from "../../src/base/units";
import type { LimitResult } from "../../src/limit/result";
import type { Topic } from "../figures/figure";
import type { BenchReport, MeasuredFigure } from "../report";
import { ownOf } from "./comparisons";
import { drawTable, joinBlocks, left, right, showValue } from "./markdown";

/** Quoted: its page has no others. */
const PAGE = {
  requests: 1000,
  /** "1000 requests in 171 milliseconds" */
  requestsMs: 171,
  /** "egrep 'recvd.*lalala'", first and last; "egrep 'comple.*lalala'", likewise. */
  received: ["2020.07.06 16:44:57.270823600", "2020.07.06 16:44:57.441281868"],
  completed: ["2020.07.06 16:45:00.271549006", "2020.07.06 16:45:00.441710420"],
  /** "350MB for 1000 threads" */
  memory: "350MB",
  /** "available" of free(1), before and "during server runtime", in kB. */
  available: [1_380_372, 1_029_024],
  /** "Each instance consumes 144KB of resident memory" */
  residentKb: 144,
} as const;

/** Milliseconds from the one record to the other. */
function between([first, last]: readonly [string, string]): number {
  const [from, to] = [secondsOf(first), secondsOf(last)];
  return (to - from) * 1000;
}

/** Of the day. */
function secondsOf(timestamp: string): number {
  const [hours = 0, minutes = 0, seconds = 0] =
    timestamp.split(" ")[1]?.split(":").map(Number) ?? [];
  return (hours * 60 + minutes) * 60 + seconds;
}

export function drawOriginal(report: BenchReport, limit: LimitResult | undefined): string {
  const { children } = report.size;
  const row = (what: string, original: string, topic: Topic) => [
    what,
    original,
    ...cellsOf(report.figures.find((figure) => figure.topic === topic)),
  ];
  const [before, during] = PAGE.available;
  const rows = [
    row("first to last `recvd`", showValue(between(PAGE.received), "ms"), "window"),
    ["first to last `completed`", showValue(between(PAGE.completed), "ms"), "–", "–"],
    row(
      "one request of each client, without work here",
      `${PAGE.requests} in ${PAGE.requestsMs} ms`,
      "round trip",
    ),
    row(
      "memory of a child, whole system",
      `${PAGE.memory} of ${showCount(PAGE.requests)}: ${showValue((before - during) / PAGE.requests, "kB")}`,
      "idle memory",
    ),
    ["memory of a child, resident", `${PAGE.residentKb} kB`, "–", "–"],
    [
      "clients at one instant",
      `${showCount(PAGE.requests)}, and no limit found`,
      "–",
      limit ? showCount(limit.clients ?? 0) : "–",
    ],
  ];
  return joinBlocks([
    "## Beside the original's figures",
    `The original's page gives its figures for ${showCount(PAGE.requests)} clients and as many children, on another machine, in ${PAGE.received[0].slice(0, 4)}: only the columns of this run can be compared with one another. The reference is a C program of the original's design, which stands in for it here. A dash: not measured.`,
    ...(children === PAGE.requests
      ? []
      : [
          `**This run had ${showCount(children)} children, not ${showCount(PAGE.requests)}: its times stand for fewer.**`,
        ]),
    drawTable(
      [left(""), right("the original's page"), right("reference, here"), right("kilofork, here")],
      rows,
    ),
    `The page does not say whether its ${PAGE.requestsMs} ms are to the last reply; if its server replies after the 3 s of work, they cannot be. Here they are. Its free(1) says how much less is available; here it is how much more is in use. Resident memory counts in each child what all of them share, and leaves out page tables and what the kernel keeps.`,
  ]);
}

/** Of the reference, in each setting that was measured, and of kilofork. */
function cellsOf(figure: MeasuredFigure | undefined): [string, string] {
  if (!figure) return ["–", "–"];
  const own = ownOf(figure);
  const references = figure.subjects.filter(({ label }) => /^reference(,|$)/.test(label));
  const named = references.map(({ label, median }) => {
    const setting = label.replace(/^reference(, )?/, "");
    const value = showValue(median, figure.unit);
    return setting === "" ? value : `${value} (${setting})`;
  });
  return [named.join("; ") || "–", own ? showValue(own.median, figure.unit) : "–"];
}
