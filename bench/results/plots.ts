/** The plots of the bench and of a sweep. Pure. */

import { plotsOf } from "../../src/limit/plots";
import type { LimitResult } from "../../src/limit/result";
import { drawPlot, type Plot, type Point } from "../../src/report/plot";
import type { Outcome, Topic } from "../figures/figure";
import type { BenchReport } from "../report";
import { type Bars, drawBars } from "./bars";
import { showValue } from "./markdown";

/** A file in the page's folder of plots. */
export interface Drawing {
  readonly file: string;
  readonly title: string;
  readonly svg: string;
}

/** The plots of the topics that were measured. */
export function drawingsOf(report: BenchReport): Partial<Record<Topic, Drawing>> {
  const drawings: Partial<Record<Topic, Drawing>> = {};
  const memory = memoryBars(report);
  const [rate, cost] = [ratePlot(report), costPlot(report)];
  if (memory.groups.length > 0)
    drawings["idle memory"] = drawing("memory", memory.title, drawBars(memory));
  if (rate.series.length > 0) drawings.rate = drawing("rate", rate.title, drawPlot(rate));
  if (cost.series.length > 0) drawings.cost = drawing("cost", cost.title, drawPlot(cost));
  return drawings;
}

export function curvesOf(sweep: LimitResult): Drawing[] {
  return plotsOf(sweep).map(({ name, plot }) =>
    drawing(`sweep-${name}`, plot.title, drawPlot(plot)),
  );
}

function drawing(name: string, title: string, svg: string): Drawing {
  return { file: `${name}.svg`, title, svg: `${svg}\n` };
}

function memoryBars({ figures }: BenchReport): Bars {
  const groups = (["idle", "busy"] as const).flatMap((name) =>
    figures
      .filter(({ topic }) => topic === `${name} memory`)
      .map(({ subjects, unit, first }) => ({
        name,
        bars: subjects.map(({ label, median, min, max }) => ({
          ...{ label, value: median, range: [min, max] as const, own: label === first },
          text: showValue(median, unit),
        })),
      })),
  );
  return {
    title: "Memory of a child, of the whole system",
    axis: { label: "memory of a child", unit: "kB", scale: "linear" },
    groups,
  };
}

const CONNECTIONS = { label: "connections", unit: "", scale: "log" } as const;

function ratePlot(report: BenchReport): Plot {
  return {
    title: "Requests a second against connections",
    x: CONNECTIONS,
    y: { label: "requests a second", unit: "", scale: "linear" },
    series: seriesOf(report, ({ median, min, max }) => ({ y: median, range: [min, max] })),
  };
}

function costPlot(report: BenchReport): Plot {
  const cost = (perSecond: number) => 1e6 / perSecond;
  return {
    title: "Cost of a request against connections",
    x: CONNECTIONS,
    y: { label: "time a request", unit: "µs", scale: "log" },
    series: seriesOf(report, ({ median, min, max }) => ({
      y: cost(median),
      range: [cost(max), cost(min)],
    })),
  };
}

/** A line for each server, in the order of the first figure. */
function seriesOf({ figures }: BenchReport, point: (of: Outcome) => Omit<Point, "x">) {
  const lines = new Map<string, Point[]>();
  for (const { topic, at, subjects } of figures)
    for (const subject of topic === "rate" ? subjects : [])
      lines.set(subject.label, [
        ...(lines.get(subject.label) ?? []),
        { x: at ?? 0, ...point(subject) },
      ]);
  return [...lines].map(([name, points]) => ({ name, points }));
}
