/** All figures: what is measured, on which subjects, in which unit, and the goals. */

import * as burst from "../measures/burst";
import { BACKLOG } from "../measures/load";
import { busyMemory, idleMemory } from "../measures/memory";
import { rate } from "../measures/rate";
import type { Harness } from "../servers/harness";
import { LABELS, type ServerName } from "../servers/names";
import { sideBySide } from "../servers/servers";
import { ackFiguresOf } from "./acknowledged";
import { type Figure, goalOf, higher, lower, type Size } from "./figure";
import { peerFiguresOf } from "./peers";
import { processPerFiguresOf, rateGoalsOf } from "./process-per";

const ORIGINAL_BACKLOG = 100;
/** Children that a pool which has to grow starts with. */
const FEW = 5;

export function figuresOf(harness: Harness, size: Size, withPeers: boolean): Figure[] {
  return [
    ...memoryFigures(harness, size, withPeers),
    ...burstFigures(harness, size),
    ...rateFigures(harness, size, withPeers),
    ...processPerFiguresOf(harness, size, withPeers),
    ...ackFiguresOf(harness, size),
    ...(withPeers ? peerFiguresOf(harness, size) : []),
  ];
}

function memoryFigures(harness: Harness, { children }: Size, withPeers: boolean): Figure[] {
  const peers = withPeers ? (["prefork", "python", "bare"] as const) : [];
  return [
    {
      name: "memory of an idle child",
      topic: "idle memory",
      unit: "kB",
      better: "less",
      subjects: sideBySide(["kilofork", "perRequest", "reference", ...peers], (name) =>
        idleMemory(harness, name, children),
      ),
      goals: [lower(0.3, "reference")],
    },
    {
      name: "memory of a busy child",
      topic: "busy memory",
      unit: "kB",
      better: "less",
      subjects: sideBySide(["kilofork", "perRequest", "reference"], (name) =>
        busyMemory(harness, name, children),
      ),
      goals: [goalOf(LABELS.perRequest, lower(1.1, LABELS.kilofork))],
    },
    {
      name: `time until ${children} children are up`,
      topic: "start",
      unit: "ms",
      better: "less",
      subjects: sideBySide(["kilofork", "reference"], (name) =>
        burst.startTime(harness, name, children),
      ),
      goals: [lower(0.25, "reference")],
    },
  ];
}

/** All clients come at once. */
function burstFigures(harness: Harness, size: Size): Figure[] {
  const { children } = size;
  const window = (name: ServerName, backlog: number, few?: number) => () =>
    burst.receivedWindow(harness, name, size, backlog, few);
  const roundTrip = (client: "kilofork" | "reference", server: ServerName) => () =>
    burst.roundTrip(harness, client, server, children);
  return [
    {
      name: `first to last recvd of ${children} clients`,
      topic: "window",
      unit: "ms",
      better: "less",
      subjects: [
        { label: LABELS.kilofork, measure: window("kilofork", BACKLOG) },
        { label: LABELS.perRequest, measure: window("perRequest", BACKLOG) },
        { label: `reference, backlog ${BACKLOG}`, measure: window("reference", BACKLOG) },
        {
          label: `reference, backlog ${ORIGINAL_BACKLOG}`,
          measure: window("reference", ORIGINAL_BACKLOG),
        },
      ],
      goals: [
        lower(0.6, `reference, backlog ${BACKLOG}`, `reference, backlog ${ORIGINAL_BACKLOG}`),
        goalOf(LABELS.perRequest, lower(3, LABELS.kilofork)),
      ],
    },
    {
      name: `first to last recvd of ${children} clients, from ${FEW} children`,
      topic: "growth",
      unit: "ms",
      better: "less",
      subjects: [
        { label: "kilofork", measure: window("kilofork", BACKLOG, FEW) },
        { label: LABELS.prefork, measure: window("prefork", BACKLOG, FEW) },
        {
          label: "Apache's rule, computed",
          measure: async () => burst.apacheGrowth(FEW, children),
        },
      ],
      goals: [lower(0.25, LABELS.prefork)],
    },
    {
      name: `first connect to last reply of ${children} clients, no work`,
      topic: "round trip",
      unit: "ms",
      better: "less",
      subjects: [
        { label: "kilofork", measure: roundTrip("kilofork", "kilofork") },
        { label: LABELS.perRequest, measure: roundTrip("kilofork", "perRequest") },
        { label: "reference", measure: roundTrip("reference", "reference") },
        {
          label: "reference client, kilofork server",
          measure: roundTrip("reference", "kilofork"),
        },
      ],
      goals: [lower(1.0, "reference")],
    },
  ];
}

/**
 * Servers with a process for each connection have as many as there are connections; with one for
 * each request, kilofork has the usual number of children.
 */
function rateFigures(harness: Harness, size: Size, withPeers: boolean): Figure[] {
  const more = withPeers ? (["prefork", "python", "net", "go", "loop"] as const) : [];
  const peers = ["cluster", "reference", ...more] as const;
  const forking = withPeers ? (["prefork", "python", "cluster"] as const) : (["cluster"] as const);
  const goals = [higher(2.0, ...forking.map((name) => LABELS[name]))];
  if (withPeers) goals.push(higher(0.85, LABELS.bare));
  const names = [
    "kilofork",
    "perRequest",
    ...peers,
    ...(withPeers ? ["bare" as const] : []),
  ] as const;
  return [...size.connections, ...(withPeers ? [size.mostConnections] : [])].map((connections) => ({
    name: `requests a second on ${connections} connections`,
    topic: "rate",
    at: connections,
    unit: "/s",
    better: "more",
    subjects: sideBySide(names, (name) => rate(harness, name, connections, size)),
    goals: [...(connections === 1000 ? goals : []), ...rateGoalsOf(connections, peers)],
  }));
}
