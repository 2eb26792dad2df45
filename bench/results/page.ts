/** The page and its plots, made of nothing but the JSON of the runs. Pure. */
import type { BenchReport } from "../report";
import { curvesOf, drawClientLimit, drawCurves, drawRateLimit, summarizeLimit } from "./breaking";
import { comparisonsOf, describeLead, isMeaningful, isOtherAhead } from "./comparisons";
import { drawGoals, goalsOf, summarizeGoals } from "./goals";
import type { Inputs } from "./inputs";
import { drawList, escapeMarkdown, joinBlocks } from "./markdown";
import { drawMethod, drawRun } from "./method";
import { drawOriginal } from "./original";
import { type Drawing, drawingsOf } from "./plots";
import { drawSections } from "./sections";

export interface Page {
  readonly markdown: string;
  readonly drawings: readonly Drawing[];
}

export function drawPage(inputs: Inputs): Page {
  const { bench, limit, rate, sweep } = inputs;
  const drawings = drawingsOf(bench);
  const curves = sweep ? curvesOf(sweep) : [];
  const markdown = joinBlocks([
    "<!-- Written by npm run results: change what it reads, or bench/results, not this file. -->",
    "# Results",
    "Every figure here is read from the JSON of the runs below, and every sentence that judges is chosen by the figures.",
    drawSummary(inputs),
    drawLeads(bench),
    goalsOf(bench).length > 0 ? joinBlocks(["## Goals", drawGoals(bench)]) : "",
    drawRun(bench),
    drawMethod(inputs),
    drawSections(bench, drawings),
    limit ? drawClientLimit(limit, bench.host) : "",
    rate ? drawRateLimit(rate, bench.host) : "",
    sweep ? drawCurves(sweep, curves, bench.host) : "",
    drawOriginal(bench, limit),
  ]);
  return { markdown: `${markdown}\n`, drawings: [...Object.values(drawings), ...curves] };
}

function drawSummary({ bench, limit, rate }: Inputs): string {
  const comparisons = comparisonsOf(bench).filter(isMeaningful);
  const ahead = comparisons.filter(isOtherAhead).length;
  const failed = bench.figures.flatMap(({ figure, notes }) =>
    notes.filter((note) => note.includes("FAILED")).map((note) => `${figure}: ${note}`),
  );
  return joinBlocks([
    "## In short",
    drawList([
      ...(bench.small
        ? ["**A small run: it shows that the bench works, not how fast anything is.**"]
        : []),
      ...summarizeGoals(bench),
      `In ${ahead} of ${comparisons.length} comparisons another one is ahead of kilofork${ahead > 0 ? "; [each is named](#where-others-are-ahead)" : ""}.`,
      ...(limit ? [summarizeLimit(limit)] : []),
      ...(rate ? [summarizeLimit(rate)] : []),
      ...failed.map((text) => `**Failed**: ${escapeMarkdown(text)}`),
    ]),
  ]);
}

function drawLeads(bench: BenchReport): string {
  const leads = comparisonsOf(bench).filter(isOtherAhead);
  return joinBlocks([
    "## Where others are ahead",
    leads.length > 0 ? drawList(leads.map(describeLead)) : "Nowhere in this run.",
  ]);
}
