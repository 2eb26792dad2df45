/** The figures of `--peers` only: cost, crowd, client start, system calls, log and counters. */
import { plural } from "../../src/base/units";
import { clientStart, nodeStart } from "../measures/client-start";
import { rate, rateOfProcesses } from "../measures/rate";
import { countSystemCalls, isClockCall } from "../measures/system-calls";
import { nativeCounts, nativeLines, nodeCounts, nodeLines } from "../measures/writers";
import type { Harness } from "../servers/harness";
import { sideBySide } from "../servers/servers";
import { atMost, atMostMore, type Figure, higher, lower, type Size, type Subject } from "./figure";

/** Processes that write or count, in the figures that do not vary their number. */
const SEVERAL = 8;

export function peerFiguresOf(harness: Harness, size: Size): Figure[] {
  return [
    costFigure(harness, size),
    crowdFigure(harness, size),
    startFigure(),
    ...systemCallFigures(harness),
    ...size.writers.map((processes) => logFigure(harness, processes, size.lines)),
    counterFigure(harness, size),
  ];
}

function costFigure(harness: Harness, size: Size): Figure {
  const { connections, mostConnections } = size;
  const label = (count: number) => `kilofork, ${count} connections`;
  const least = Math.min(...connections);
  return {
    name: `cost of a request from ${least} to ${mostConnections} connections`,
    topic: "cost",
    unit: "µs",
    better: "less",
    subjects: [mostConnections, least].map((count) => ({
      label: label(count),
      measure: async () => 1e6 / (await rate(harness, "kilofork", count, size)),
    })),
    goals: [lower(2.2, label(least))],
  };
}

function crowdFigure(harness: Harness, { children, crowd }: Size): Figure {
  const label = (count: number) => `kilofork, ${count} connections`;
  return {
    name: `requests a second on ${crowd} and on ${children} connections, of client processes`,
    topic: "crowd",
    unit: "/s",
    better: "more",
    subjects: [crowd, children].map((count) => ({
      label: label(count),
      measure: () => rateOfProcesses(harness, count),
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

function systemCallFigures(harness: Harness): Figure[] {
  return [
    {
      name: "system calls of one request on a kept connection",
      topic: "system calls",
      unit: "",
      better: "less",
      subjects: sideBySide(
        ["kilofork", "reference", "prefork", "python", "cluster", "net", "go", "loop", "bare"],
        (name) => countSystemCalls(harness, name, () => true),
      ),
      goals: [atMost(4)],
    },
    {
      name: "of these, for the time of day",
      topic: "clock calls",
      unit: "",
      better: "less",
      subjects: sideBySide(["kilofork"], (name) => countSystemCalls(harness, name, isClockCall)),
      goals: [atMost(0)],
    },
  ];
}

function logFigure(harness: Harness, processes: number, lines: number): Figure {
  const native = (what: "record" | "write") => () => nativeLines(harness, what, processes, lines);
  const node = (library: "pino" | "sonic-boom", mode: "sync" | "gather"): Subject => ({
    label: mode === "sync" ? library : `${library}, gathering`,
    measure: () => nodeLines(harness, library, mode, processes, lines),
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

function counterFigure(harness: Harness, { increments, messages }: Size): Figure {
  return {
    name: `increments a second from ${SEVERAL} processes`,
    topic: "counters",
    unit: "/s",
    better: "more",
    subjects: [
      { label: "kilofork", measure: () => nativeCounts(harness, SEVERAL, increments) },
      { label: "messages of node:cluster", measure: () => nodeCounts(SEVERAL, messages) },
    ],
  };
}
