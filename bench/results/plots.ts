/** The plots of the bench's figures. */
import { type Bars, drawBars } from "../../src/report/bars";
import { drawPlot, type Plot, type Point } from "../../src/report/plot";
import type { Outcome, Topic } from "../figures/figure";
import type { BenchReport } from "../report";
import { showValue } from "./markdown";

/** One file of the page. */
export interface Drawing {
  /** In the page's folder of plots. */
  readonly file: string;
  readonly title: string;
  readonly svg: string;
}

/** Those that there is something to draw of. */
export function drawingsOf(report: BenchReport): Partial<Record<Topic, Drawing>> {
  const drawings: Partial<Record<Topic, Drawing>> = {};
  const memory = memoryBars(report);
  const [rate, cost] = [ratePlot(report), costPlot(report)];
  if (memory.groups.length > 0)
    drawings["idle memory"] = drawing("memory.svg", memory.title, drawBars(memory));
  if (rate.series.length > 0) drawings.rate = drawing("rate.svg", rate.title, drawPlot(rate));
  if (cost.series.length > 0) drawings.cost = drawing("cost.svg", cost.title, drawPlot(cost));
  return drawings;
}

export function drawing(file: string, title: string, svg: string): Drawing {
  return { file, title, svg: `${svg}\n` };
}

function memoryBars({ figures }: BenchReport): Bars {
  const groups = (["idle memory", "busy memory"] as const).flatMap((topic) =>
    figures
      .filter((figure) => figure.topic === topic)
      .map(({ subjects, unit, first }) => ({
        name: topic === "idle memory" ? "idle" : "busy",
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

function ratePlot(report: BenchReport): Plot {
  return {
    title: "Requests a second against connections",
    x: { label: "connections", unit: "", scale: "log" },
    y: { label: "requests a second", unit: "", scale: "linear" },
    series: seriesOf(report, ({ median, min, max }) => ({ y: median, range: [min, max] })),
  };
}

function costPlot(report: BenchReport): Plot {
  const cost = (perSecond: number) => 1e6 / perSecond;
  return {
    title: "Cost of a request against connections",
    x: { label: "connections", unit: "", scale: "log" },
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
