/** The trials as plots: latency, memory, fork time and throughput by the load. */
import { median } from "../base/numbers";
import type { Percentiles } from "../client/latency";
import { findKnee, type Plot, type Point } from "../report/plot";
import type { LimitResult } from "./result";
import type { Trial } from "./trial";

const MEGABYTE = 2 ** 20;

export interface NamedPlot {
  readonly name: "latency" | "memory" | "fork" | "throughput";
  readonly plot: Plot;
}

/** The plots that have points. */
export function plotsOf({ trials, find }: LimitResult): NamedPlot[] {
  const started = trials.filter(({ upMs }) => upMs !== null);
  const ofKind = (kind: Trial["kind"]) => started.filter((trial) => trial.kind === kind);
  const plots: NamedPlot[] = [
    { name: "latency", plot: latencyPlot(ofKind(find), find) },
    { name: "memory", plot: memoryPlot(ofKind("clients")) },
    { name: "fork", plot: forkPlot(ofKind("clients")) },
    { name: "throughput", plot: throughputPlot(ofKind("throughput")) },
  ];
  return plots.filter(({ plot }) => plot.series.some(({ points }) => points.length > 0));
}

function latencyPlot(trials: readonly Trial[], find: LimitResult["find"]): Plot {
  const x = { label: find === "clients" ? "clients at once" : "requests a second", unit: "" };
  const scales = { x: "log", y: "log" } as const;
  const at = (pick: (ms: Percentiles) => number) =>
    curve(
      trials,
      (trial) => trial.rate ?? trial.clients,
      ({ beyondMs }) => (beyondMs?.count ? Math.max(pick(beyondMs), 0.001) : null),
    );
  const p99 = at((ms) => ms.p99);
  return {
    title: `Reply latency beyond the work, against ${x.label}`,
    x: { ...x, scale: scales.x },
    y: { label: "beyond the work", unit: "ms", scale: scales.y },
    series: [
      { name: "p99", points: p99 },
      { name: "p50", points: at((ms) => ms.p50) },
    ],
    knee: findKnee(p99, "up", scales),
  };
}

function memoryPlot(trials: readonly Trial[]): Plot {
  const total = (each: (trial: Trial) => number | null) =>
    curve(
      trials,
      ({ clients }) => clients,
      (trial) => {
        const bytes = each(trial);
        return bytes === null ? null : (bytes * trial.clients) / MEGABYTE;
      },
    );
  const busy = total(({ busyChildBytes }) => busyChildBytes);
  return {
    title: "Memory of the whole system, against clients",
    x: { label: "clients at once", unit: "", scale: "linear" },
    y: { label: "memory of the children", unit: "MB", scale: "linear" },
    series: [
      { name: "busy", points: busy },
      { name: "idle", points: total(({ idleChildBytes }) => idleChildBytes) },
    ],
    knee: findKnee(busy, "up", { x: "linear", y: "linear" }),
  };
}

function forkPlot(trials: readonly Trial[]): Plot {
  const points = curve(
    trials,
    ({ clients }) => clients,
    ({ upMs }) => upMs,
  );
  return {
    title: "Time until all children are up",
    x: { label: "children", unit: "", scale: "linear" },
    y: { label: "fork time", unit: "ms", scale: "linear" },
    series: [{ name: "all up", points }],
    knee: findKnee(points, "up", { x: "linear", y: "linear" }),
  };
}

function throughputPlot(trials: readonly Trial[]): Plot {
  const points = curve(
    trials,
    ({ clients }) => clients,
    (trial) => trial.requestsPerSecond,
  );
  return {
    title: "Throughput without work, against connections (closed loop)",
    x: { label: "connections", unit: "", scale: "log" },
    y: { label: "requests a second", unit: "", scale: "linear" },
    series: [{ name: "requests", points }],
    knee: findKnee(points, "down", { x: "log", y: "linear" }),
  };
}

/** A point for each load: the median of its trials. */
function curve(
  trials: readonly Trial[],
  x: (trial: Trial) => number,
  y: (trial: Trial) => number | null,
): Point[] {
  const values = new Map<number, number[]>();
  for (const trial of trials) {
    const value = y(trial);
    if (value !== null) values.set(x(trial), [...(values.get(x(trial)) ?? []), value]);
  }
  return [...values].map(([load, all]) => ({ x: load, y: median(all) })).sort((a, b) => a.x - b.x);
}
