/** The figures of kilofork with a process for each request, beside a process for each connection. */
import { connectionMemory } from "../measures/memory";
import { processorTime, slowReply, slowReplyBeside } from "../measures/rate";
import { countBatchedCalls } from "../measures/system-calls";
import type { Harness } from "../servers/harness";
import { LABELS, MODES, type Mode, type ServerName } from "../servers/names";
import { sideBySide } from "../servers/servers";
import {
  atMost,
  atMostMore,
  type Figure,
  type Goal,
  goalOf,
  higher,
  lower,
  type Size,
} from "./figure";

const OWN = LABELS.perRequest;
const labelsOf = (names: readonly ServerName[]) => names.map((name) => LABELS[name]);

/** The least ratios to the best of the peers, and to the other mode, by the number of connections. */
const RATES: Readonly<Record<number, readonly [peers: number, mode: number]>> = {
  100: [1.4, 1.3],
  1000: [1.5, 1.6],
  10000: [1.3, 1.6],
};

/** The goals of a rate. `peers`: those that have a log. */
export function rateGoalsOf(connections: number, peers: readonly ServerName[]): Goal[] {
  const ratios = RATES[connections];
  if (!ratios) return [];
  const slower = peers.filter((name) => name !== "go" && name !== "loop");
  return [
    higher(ratios[0], ...labelsOf(slower)),
    higher(ratios[1], LABELS.kilofork),
    ...(peers.includes("go") ? [higher(1, LABELS.go)] : []),
    ...(peers.includes("loop") ? [higher(0.75, LABELS.loop)] : []),
  ].map((goal) => goalOf(OWN, goal));
}

export function processPerFiguresOf(harness: Harness, size: Size, withPeers: boolean): Figure[] {
  return [
    slowReplyFigure(harness, size, withPeers),
    besideFigure(harness, size),
    connectionFigure(harness, size),
    callsFigure(harness),
    ...(withPeers ? MODES.map((mode) => processorFigure(harness, mode, size)) : []),
  ];
}

function slowReplyFigure(harness: Harness, size: Size, withPeers: boolean): Figure {
  const peers = withPeers ? (["go", "loop"] as const) : [];
  return {
    name: `p99 of the reply on ${size.children} connections`,
    topic: "slow reply",
    unit: "ms",
    better: "less",
    subjects: sideBySide([...MODES, "cluster", ...peers], (name) =>
      slowReply(harness, name, size.children, size),
    ),
    goals: [lower(1, LABELS.cluster)],
  };
}

function besideFigure(harness: Harness, size: Size): Figure {
  const label = (silent: number) => `${silent} silent connections`;
  return {
    name: `p99 of the reply on ${size.few} connections beside silent ones, ${size.few} children`,
    topic: "beside silent connections",
    unit: "ms",
    better: "less",
    subjects: [size.silent, 0].map((silent) => ({
      label: label(silent),
      measure: () => slowReplyBeside(harness, silent, size),
    })),
    goals: [lower(1.2, label(0))],
  };
}

function connectionFigure(harness: Harness, size: Size): Figure {
  return {
    name: `memory of a silent connection, of ${size.idle}, with ${size.few} children`,
    topic: "connection memory",
    unit: "kB",
    better: "less",
    subjects: sideBySide(["perRequest", "hold"], (name) => connectionMemory(harness, name, size)),
    goals: [atMostMore(1, "kB", LABELS.hold)],
  };
}

function callsFigure(harness: Harness): Figure {
  return {
    name: "system calls of one request in a child, in full batches",
    topic: "system calls in batches",
    unit: "",
    better: "less",
    subjects: [{ label: OWN, measure: () => countBatchedCalls(harness) }],
    goals: [atMost(5.2)],
  };
}

function processorFigure(harness: Harness, mode: Mode, size: Size): Figure {
  const label = (count: number) => `${count} connections`;
  const [least = 0, ...others] = [...size.connections, size.mostConnections];
  return {
    name: `processor time of a request: ${LABELS[mode]}`,
    topic: "processor time",
    unit: "µs",
    better: "less",
    subjects: [...others.reverse(), least].map((count) => ({
      label: label(count),
      measure: () => processorTime(harness, mode, count, size),
    })),
    ...(mode === "perRequest" ? { goals: [lower(1.8, label(least))] } : {}),
  };
}
