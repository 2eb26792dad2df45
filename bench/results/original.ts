/** The original project's figures, as its page gives them, beside those of this run. */
import { showCount } from "../../src/base/units";
import type { LimitResult } from "../../src/limit/result";
import type { Topic } from "../figures/figure";
import type { BenchReport } from "../report";
import { ownOf } from "./bench-tables";
import { drawTable, showValue } from "./markdown";

/**
 * What the page says of 1,000 clients in 2020. Its windows are the first and the last record of its
 * log, its 351 kB the difference of "available" of free(1), 1,380,372 and 1,029,024 kB, by children.
 */
const ROWS: readonly (readonly [string, string, Topic?])[] = [
  ["first to last recvd", "170 ms", "window"],
  ["first to last completed", "170 ms"],
  ["one request of each client, without work here", "1000 in 171 ms", "round trip"],
  ["memory of a child, whole system", "350MB of 1,000: 351 kB", "idle memory"],
  ["memory of a child, resident", "144 kB"],
];

export function drawOriginal({ figures, size }: BenchReport, limit?: LimitResult): string {
  const children = showCount(size.children);
  const cellsOf = (topic?: Topic): string[] => {
    const figure = figures.find((each) => each.topic === topic);
    if (!figure) return ["–", "–"];
    const own = ownOf(figure);
    const references = figure.subjects
      .filter(({ label }) => /^reference(,|$)/.test(label))
      .map(({ label, median }) => {
        const setting = label.replace(/^reference,? ?/, "");
        return showValue(median, figure.unit) + (setting === "" ? "" : ` (${setting})`);
      });
    return [references.join("; ") || "–", own ? showValue(own.median, figure.unit) : "–"];
  };
  return drawTable(
    ["", "the original's page", "reference, here", "kilofork, here"],
    [
      ["children", "1,000", children, children],
      ...ROWS.map(([what, page, topic]) => [what, page, ...cellsOf(topic)]),
      [
        "clients at one instant",
        "1,000, and no limit found",
        "–",
        limit ? showCount(limit.clients ?? 0) : "–",
      ],
    ],
  );
}
