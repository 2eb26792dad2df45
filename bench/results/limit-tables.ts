/** The tables of the results of `kilofork limit`. Pure. */
import { showCount, showDuration, writeDuration } from "../../src/base/units";
import { plotsOf } from "../../src/limit/plots";
import type { LimitResult } from "../../src/limit/result";
import { loadOf, showFound } from "../../src/limit/text";
import { outcomeOf, type Trial } from "../../src/limit/trial";
import type { Host } from "../report";
import { drawTable, joinBlocks } from "./markdown";

/** What was found, the limits that were met, and the room that the machine had before. */
export function drawLimit(result: LimitResult, host: Host): string {
  const { firstLimit, secondLimit, bounds, trials, find } = result;
  const connections =
    find === "rate" ? ` on ${showCount(trials[0]?.clients ?? 0)} connections` : "";
  const limits = [
    [firstLimit?.evidence === "" ? "ends the search" : "breaks first", firstLimit] as const,
    // The bounds are numbers of clients: they tell no second limit of a rate.
    ["would break second", find === "clients" ? secondLimit : null] as const,
  ].flatMap(([which, limit]) =>
    limit
      ? [[which, limit.name, showRoom(limit.clients), limit.evidence || "–", limit.setting]]
      : [],
  );
  return joinBlocks(
    drawTable(
      ["", ""],
      [
        ["found", showFound(result) + connections],
        ["latency bound (p99)", writeDuration(result.sloMs)],
        ["trials of a load", String(result.repeats)],
        ...remarksOf(result, host),
      ],
    ),
    limits.length > 0
      ? drawTable(["", "limit", "room for clients", "evidence", "moved by"], limits)
      : "",
    find === "clients" && bounds.length > 0
      ? drawTable(
          ["bound before the search", "room for clients"],
          bounds.map(({ name, clients }) => [name, showRoom(clients)]),
        )
      : "",
  );
}

const showRoom = (clients: number | null) => (clients === null ? "–" : showCount(clients));

function remarksOf({ complete, problems, notes, machine }: LimitResult, host: Host): string[][] {
  const isSame =
    machine.cpus === host.cpus &&
    machine.model === host.model &&
    machine.memoryBytes === host.memoryBytes &&
    machine.system === `Linux ${host.kernel}, Node ${host.node}`;
  const memory = `${showCount(machine.memoryBytes / 2 ** 20)} MB`;
  return [
    ...(complete ? [] : [["complete", "no: the search was interrupted"]]),
    ...problems.map((problem) => ["problem", problem]),
    ...notes.map((note) => ["note", note]),
    ...(isSame
      ? []
      : [["another machine", `${machine.cpus} x ${machine.model}, ${memory}, ${machine.system}`]]),
  ];
}

/** The point where each curve bends. */
export function drawKnees(result: LimitResult): string {
  const rows = plotsOf(result).map(({ plot: { title, knee, x } }) => [
    title,
    knee ? `${showCount(knee.x)} ${x.label}` : "none",
  ]);
  return drawTable(["curve", "knee"], rows);
}

// ---- trials --------------------------------------------------------------------------------------

type Column = readonly [string, (trial: Trial) => string];

const orDash = <T>(value: T | null | undefined, show: (value: T) => string) =>
  value === null || value === undefined ? "–" : show(value);
const percentiles = (what: string): readonly Column[] => [
  [`p50 ${what}`, ({ beyondMs }) => orDash(beyondMs?.p50, showDuration)],
  [`p99 ${what}`, ({ beyondMs }) => orDash(beyondMs?.p99, showDuration)],
];
const ACHIEVED: Column = ["achieved", (trial) => `${showCount(trial.requestsPerSecond)}/s`];
const RUSH: readonly Column[] = [
  ...percentiles("of the reply"),
  ["own lag p99", ({ lagMs }) => orDash(lagMs?.p99, showDuration)],
  ["CPU busy", ({ busiestCpuShare }) => `${Math.round(busiestCpuShare * 100)}%`],
];
const COLUMNS: Readonly<Record<Trial["kind"], readonly Column[]>> = {
  clients: [
    ["clients", ({ clients }) => showCount(clients)],
    ["verdict", outcomeOf],
    ["children up", ({ upMs }) => orDash(upMs, showDuration)],
    ["connect p99", ({ connectMs }) => orDash(connectMs?.p99, showDuration)],
    ["together", ({ togetherMs }) => orDash(togetherMs || null, showDuration)],
    ...percentiles("beyond the work"),
    [
      "a busy child",
      ({ busyChildBytes }) => orDash(busyChildBytes, (bytes) => `${Math.round(bytes / 1024)} kB`),
    ],
  ],
  rate: [
    ["asked", (trial) => `${showCount(loadOf(trial))}/s`],
    ["verdict", outcomeOf],
    ACHIEVED,
    ...RUSH,
  ],
  throughput: [["connections", ({ clients }) => showCount(clients)], ACHIEVED, ...RUSH],
};

/** The trials of a kind; `sorted`: by the number of clients, not in the order of the search. */
export function drawTrials({ trials }: LimitResult, kind: Trial["kind"], sorted = false): string {
  const chosen = trials.filter((trial) => trial.kind === kind);
  if (sorted) chosen.sort((one, other) => one.clients - other.clients);
  const columns = COLUMNS[kind];
  return drawTable(
    columns.map(([name]) => name),
    chosen.map((trial) => columns.map(([, show]) => show(trial))),
  );
}
