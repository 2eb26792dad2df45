/** The figures of `--peers` alone: growth, start, system calls, log and counters. */
import { plural } from "../src/base/units";
import { clientStart, nodeStart } from "./client-start";
import { atMost, atMostMore, type Figure, higher, lower, type Size, type Subject } from "./figure";
import * as measures from "./measures";
import { side, type Workshop } from "./subjects";
import { countSystemCalls, isClockCall } from "./system-calls";
import { nativeCounts, nativeLines, nodeCounts, nodeLines } from "./writers";

/** Processes that write or count, where their number is no question. */
const SEVERAL = 8;

export function peerFiguresOf(shop: Workshop, size: Size): Figure[] {
  return [
    growthFigure(shop, size),
    crowdFigure(shop, size),
    startFigure(),
    ...systemCallFigures(shop),
    ...size.writers.map((processes) => logFigure(shop, processes, size.lines)),
    counterFigure(shop, size),
  ];
}

function growthFigure(shop: Workshop, size: Size): Figure {
  const { connections, mostConnections, requests } = size;
  const label = (count: number) => `kilofork, ${count} connections`;
  const least = Math.min(...connections);
  return {
    name: `cost of a request from ${least} to ${mostConnections} connections`,
    topic: "cost",
    unit: "µs",
    better: "less",
    subjects: [mostConnections, least].map((count) => ({
      label: label(count),
      measure: async () => 1e6 / (await measures.rate(shop, "kilofork", count, requests)),
    })),
    goals: [lower(2.2, label(least))],
  };
}

function crowdFigure(shop: Workshop, { children, crowd }: Size): Figure {
  const label = (count: number) => `kilofork, ${count} connections`;
  return {
    name: `requests a second on ${crowd} and on ${children} connections, of client processes`,
    topic: "crowd",
    unit: "/s",
    better: "more",
    subjects: [crowd, children].map((count) => ({
      label: label(count),
      measure: () => measures.rateOfProcesses(shop, count),
    })),
    goals: [higher(0.5, label(children))],
  };
}

function startFigure(): Figure {
  return {
    name: "start of kilofork client to its first connect",
    topic: "client start",
    unit: "ms",
    better: "less",
    subjects: [
      { label: "kilofork client", measure: clientStart },
      { label: "node -e 0", measure: nodeStart },
    ],
    goals: [atMostMore(90, "ms", "node -e 0")],
  };
}

function systemCallFigures(shop: Workshop): Figure[] {
  return [
    {
      name: "system calls of one request on a kept connection",
      topic: "system calls",
      unit: "",
      better: "less",
      subjects: side(
        ["kilofork", "reference", "prefork", "python", "cluster", "net", "bare"],
        (name) => countSystemCalls(shop, name, () => true),
      ),
      goals: [atMost(4)],
    },
    {
      name: "of these, for the time of day",
      topic: "clock calls",
      unit: "",
      better: "less",
      subjects: side(["kilofork"], (name) => countSystemCalls(shop, name, isClockCall)),
      goals: [atMost(0)],
    },
  ];
}

function logFigure(shop: Workshop, processes: number, lines: number): Figure {
  const native = (what: "record" | "write") => () => nativeLines(shop, what, processes, lines);
  const node = (library: "pino" | "sonic-boom", mode: "sync" | "gather"): Subject => ({
    label: mode === "sync" ? library : `${library}, gathering`,
    measure: () => nodeLines(shop, library, mode, processes, lines),
  });
  return {
    name: `log lines a second from ${plural(processes, "process", "processes")}`,
    topic: "log",
    at: processes,
    unit: "/s",
    better: "more",
    subjects: [
      { label: "kilofork", measure: native("record") },
      { label: "bare write()", measure: native("write") },
      ...[node("pino", "sync"), node("pino", "gather")],
      ...[node("sonic-boom", "sync"), node("sonic-boom", "gather")],
    ],
    ...(processes === SEVERAL ? { goals: [higher(0.9, "bare write()")] } : {}),
  };
}

function counterFigure(shop: Workshop, { increments, messages }: Size): Figure {
  return {
    name: `increments a second from ${SEVERAL} processes`,
    topic: "counters",
    unit: "/s",
    better: "more",
    subjects: [
      { label: "kilofork", measure: () => nativeCounts(shop, SEVERAL, increments) },
      { label: "messages of node:cluster", measure: () => nodeCounts(SEVERAL, messages) },
    ],
  };
}
