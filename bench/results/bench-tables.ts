/** The tables of a bench report, by the name of their place on the page. Pure. */
import { capitalize, showCount } from "../../src/base/units";
import { type Outcome, ratioOf } from "../figures/figure";
import type { BenchReport, MeasuredFigure, MeasuredGoal } from "../report";
import { LABELS } from "../servers/names";
import { drawList, drawTable, joinBlocks, showRatio, showValue } from "./markdown";

/** Names the other mode where the first subject is kilofork. */
const MODE = "a process for each request";

/** A table of each topic, and `goals`, `ahead` and `run`. */
export function benchTables(bench: BenchReport): Record<string, string> {
  const tables: Record<string, string> = {
    goals: drawGoals(bench),
    ahead: drawAhead(bench),
    run: drawRun(bench),
  };
  for (const figure of bench.figures)
    tables[figure.topic] = joinBlocks(tables[figure.topic] ?? "", drawFigure(figure));
  return tables;
}

/** kilofork in its other mode, beside the first subject. */
const otherOf = ({ subjects, first }: MeasuredFigure): Outcome | undefined =>
  subjects.find(({ label }) => label === LABELS.perRequest && label !== first);

export const ownOf = ({ subjects, first }: MeasuredFigure): Outcome | undefined =>
  subjects.find(({ label }) => label === first);

function drawFigure(figure: MeasuredFigure): string {
  const { figure: name, first, unit, subjects, notes } = figure;
  const owns = [ownOf(figure), otherOf(figure)].filter((own) => own !== undefined);
  const names = owns.map(({ label }) => (label === first ? first : MODE));
  const ratioTo = (own: Outcome, subject: Outcome) =>
    own !== subject && areComparable(own, subject) ? showRatio(ratioOf(own, subject)) : "";
  const rows = subjects.map((subject) => [
    subject.label,
    showValue(subject.median, unit),
    `${showValue(subject.min, "")} to ${showValue(subject.max, "")}`,
    ...owns.map((own) => ratioTo(own, subject)),
  ]);
  return joinBlocks(
    `### ${capitalize(name)}`,
    drawTable(["", "median", "least to most", ...names.map((name) => `${name} / it`)], rows),
    drawList(firstOfEach(notes)),
  );
}

/** Keeps the first note on each subject: later rounds repeat it with other numbers. */
function firstOfEach(notes: readonly string[]): string[] {
  const whom = (note: string) => note.split(": ", 1)[0];
  return notes.filter((note, i) => notes.findIndex((other) => whom(other) === whom(note)) === i);
}

/** Memory of zero or less says that other processes gave back more than the server took. */
function areComparable(own: Outcome, other: Outcome): boolean {
  return [...own.values, ...other.values].every((value) => value > 0);
}

function drawGoals({ figures }: BenchReport): string {
  const verdictOf = ({ reached }: MeasuredGoal) =>
    reached === null ? "not measured" : reached ? "reached" : "not reached";
  const rows = figures.flatMap(({ figure, goals }) =>
    goals.map((goal) => [
      figure,
      goal.text,
      goal.measured === null ? "–" : showValue(goal.measured, ""),
      verdictOf(goal),
    ]),
  );
  return drawTable(["figure", "goal", "measured", ""], rows);
}

/** A difference below this share counts as none. */
const SAME = 0.005;
/** kilofork in another mode or on fewer connections, and computed values, are not compared. */
const NO_PEER = /^written$|^kilofork|^one sync|, computed$|connections$/;

/** The peers that are ahead of kilofork in either mode, by the medians or by the ratios of the rounds. */
function drawAhead({ figures }: BenchReport): string {
  const rows = figures.flatMap((figure) => [
    ...aheadOf(figure, ownOf(figure), figure.figure),
    ...aheadOf(figure, otherOf(figure), `${figure.figure}: ${MODE}`),
  ]);
  return drawTable(["figure", "peer", "its median", "kilofork", "lead", "rounds ahead"], rows);
}

function aheadOf(
  { subjects, better, unit }: MeasuredFigure,
  own: Outcome | undefined,
  name: string,
): string[][] {
  if (!own) return [];
  const lead = (ratio: number) => (better === "less" ? ratio : 1 / ratio);
  const isAhead = (ratio: number) => lead(ratio) > 1 + SAME;
  return subjects
    .filter((peer) => peer !== own && !NO_PEER.test(peer.label) && areComparable(own, peer))
    .filter((peer) => isAhead(own.median / peer.median) || isAhead(ratioOf(own, peer)))
    .map((peer) => {
      const rounds = own.values.flatMap((value, i) => value / (peer.values[i] ?? Number.NaN));
      const ahead = rounds.filter((ratio) => lead(ratio) > 1).length;
      return [
        name,
        peer.label,
        showValue(peer.median, unit),
        showValue(own.median, unit),
        showRatio(lead(own.median / peer.median)),
        `${ahead} of ${rounds.filter(Number.isFinite).length}`,
      ];
    });
}

function drawRun({ startedAt, args, runs, small, size, host, versions }: BenchReport): string {
  return drawTable(
    ["", ""],
    [
      ["date", `${startedAt.slice(0, 16).replace("T", " ")} UTC`],
      ["options", args.filter((arg, i) => !`${args[i - 1]} ${arg}`.includes("--out")).join(" ")],
      ["rounds", `${runs}${small ? ", small: the times are not meaningful" : ""}`],
      ["children", showCount(size.children)],
      ["requests of one measurement", showCount(size.requests)],
      ["processors", `${host.cpus} x ${host.model}`],
      ["memory", `${showCount(host.memoryBytes / 2 ** 20)} MB`],
      ["kernel", `Linux ${host.kernel}`],
      ["Node.js", host.node],
      ...Object.entries(versions).filter(([name]) => name !== "Node.js"),
    ],
  );
}
