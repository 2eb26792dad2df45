/** Where it breaks, and the curves before: what `kilofork limit` has found. */

import { capitalize, showCount, showDuration, writeDuration } from "../../src/base/units";
import type { Limit } from "../../src/limit/judge";
import { plotsOf } from "../../src/limit/plots";
import type { LimitResult } from "../../src/limit/result";
import { loadOf, showCondition, showFound } from "../../src/limit/show";
import { outcomeOf, type Trial } from "../../src/limit/trial";
import { drawPlot } from "../../src/report/plot";
import type { Host } from "../report";
import { drawList, drawTable, escapeMarkdown, joinBlocks, left, right } from "./markdown";
import { type Drawing, drawing } from "./plots";
import { embed } from "./sections";

const DEFAULT = { repeats: 2, sloMs: 1000, connections: 100 };

/** What was found, and what breaks first, in one line. */
export function summarizeLimit(result: LimitResult): string {
  const found = capitalize(describeFound(result));
  return [`${found}.`, ...describeLimit("first", result.firstLimit)].join(" ");
}

/** A rate, with what it was found on. */
function describeFound(result: LimitResult): string {
  const connections = showCount(result.trials[0]?.clients ?? 0);
  return showFound(result) + (result.find === "rate" ? ` on ${connections} connections` : "");
}

export function drawClientLimit(result: LimitResult, host: Host): string {
  return joinBlocks([
    "## Where it breaks: clients",
    `**${describeFound(result)}**. ${showCondition(result)}`,
    drawList([
      ...describeLimit("first", result.firstLimit),
      ...describeLimit("second", result.secondLimit),
      describeBounds(result),
      ...remarksOf(result, host),
    ]),
    drawTrials(CLIENT_COLUMNS, trialsOf(result, "clients")),
  ]);
}

/** What the machine allows besides is a number of clients: a second limit of the rate is not known. */
export function drawRateLimit(result: LimitResult, host: Host): string {
  return joinBlocks([
    "## Where it breaks: requests a second",
    `**${describeFound(result)}**, from clients that do not wait for one another (open loop), without work. ${showCondition(result)}`,
    drawList([...describeLimit("first", result.firstLimit), ...remarksOf(result, host)]),
    drawTrials(RATE_COLUMNS, trialsOf(result, "rate")),
  ]);
}

export function drawCurves(result: LimitResult, drawings: readonly Drawing[], host: Host): string {
  const knees = plotsOf(result).map(({ plot }) => {
    const { title, knee, x } = plot;
    const where = knee ? `its knee is at ${showCount(knee.x)} ${x.label}` : "it has no knee";
    return `${title}: ${where}.`;
  });
  return joinBlocks([
    "## The curves",
    `From loads far below up to ${describeFound(result)}. The knee is the point that is furthest from the straight line between the ends of the curve, as it is drawn; one that turns up ends at twice of what it was until then, or more.`,
    ...drawings.map(embed),
    drawList([...knees, ...remarksOf(result, host)]),
    drawTrials(CLIENT_COLUMNS, byLoad(trialsOf(result, "clients"))),
    drawTrials(THROUGHPUT_COLUMNS, trialsOf(result, "throughput")),
  ]);
}

export function curvesOf(result: LimitResult): Drawing[] {
  return plotsOf(result).map(({ name, plot }) =>
    drawing(`sweep-${name}.svg`, plot.title, drawPlot(plot)),
  );
}

/** The command that makes such a result. */
export function commandOf({ find, repeats, sloMs, bounds, trials }: LimitResult): string {
  const most = bounds.map(({ name }) => /^--max-clients \d+$/.exec(name)?.[0] ?? "").join("");
  const connections = trials[0]?.clients ?? DEFAULT.connections;
  const options = [
    find === "rate" ? "--find rate" : "",
    find === "rate" && connections !== DEFAULT.connections ? `--connections ${connections}` : "",
    trials.some(({ kind }) => kind === "throughput") ? "--sweep" : "",
    most,
    repeats === DEFAULT.repeats ? "" : `--repeats ${repeats}`,
    sloMs === DEFAULT.sloMs ? "" : `--slo ${writeDuration(sloMs)}`,
    "--json",
  ];
  return `npx kilofork limit ${options.filter((option) => option !== "").join(" ")}`;
}

/** What the machine allowed beforehand, as its owner has set it. */
function describeBounds({ bounds }: LimitResult): string {
  const rooms = bounds.map(
    ({ name, clients }) => `${escapeMarkdown(name)} for ${showCount(clients)}`,
  );
  return `Room for clients, before anything was started: ${rooms.join("; ")}.`;
}

/** Without evidence, nothing broke: the search would not go beyond what the machine allows. */
function describeLimit(which: "first" | "second", limit: Limit | null): string[] {
  if (!limit) return [];
  const { name, clients, evidence, setting } = limit;
  const room = clients === null ? "" : `, which leaves room for ${showCount(clients)} clients`;
  const what = `${escapeMarkdown(name)}${room}`;
  const moved = `Moved by: ${escapeMarkdown(setting)}.`;
  if (which === "second") return [`What would break second: ${what}. ${moved}`];
  return evidence === ""
    ? [`Nothing broke up to there: the search ends at ${what}. ${moved}`]
    : [`What breaks first: ${what}: ${escapeMarkdown(evidence)}. ${moved}`];
}

function remarksOf({ complete, problems, notes, machine }: LimitResult, host: Host): string[] {
  const isSame =
    machine.cpus === host.cpus &&
    machine.model === host.model &&
    machine.memoryBytes === host.memoryBytes &&
    machine.system === `Linux ${host.kernel}, Node ${host.node}`;
  return [
    ...(complete ? [] : ["**The search was interrupted.**"]),
    ...problems.map((problem) => `**Problem**: ${escapeMarkdown(problem)}`),
    ...notes.map((note) => `Note: ${escapeMarkdown(note)}`),
    ...(isSame
      ? []
      : [
          `**Another machine than the bench's**: ${machine.cpus} x ${escapeMarkdown(machine.model)}, ${showCount(machine.memoryBytes / 2 ** 20)} MB, ${escapeMarkdown(machine.system)}`,
        ]),
  ];
}

// ---- trials --------------------------------------------------------------------------------------

type TrialColumn = readonly [string, (trial: Trial) => string];

const VERDICT: TrialColumn = ["verdict", outcomeOf];
const replyColumns = (what: string): readonly TrialColumn[] => [
  [`p50 ${what}`, ({ beyondMs }) => (beyondMs ? showDuration(beyondMs.p50) : "–")],
  [`p99 ${what}`, ({ beyondMs }) => (beyondMs ? showDuration(beyondMs.p99) : "–")],
];
const LAG: TrialColumn = ["own lag p99", ({ lagMs }) => (lagMs ? showDuration(lagMs.p99) : "–")];
const ACHIEVED: TrialColumn = [
  "achieved",
  ({ requestsPerSecond }) => `${showCount(requestsPerSecond)}/s`,
];
const CPU: TrialColumn = [
  "CPU busy",
  ({ busiestCpuShare }) => `${Math.round(busiestCpuShare * 100)}%`,
];

const CLIENT_COLUMNS: readonly TrialColumn[] = [
  ["clients", (trial) => showCount(loadOf(trial))],
  VERDICT,
  ["children up", ({ upMs }) => (upMs === null ? "–" : showDuration(upMs))],
  ["connect p99", ({ connectMs }) => (connectMs ? showDuration(connectMs.p99) : "–")],
  ["together", ({ togetherMs }) => (togetherMs > 0 ? showDuration(togetherMs) : "–")],
  ...replyColumns("beyond the work"),
  [
    "a busy child",
    ({ busyChildBytes }) =>
      busyChildBytes === null ? "–" : `${Math.round(busyChildBytes / 1024)} kB`,
  ],
];
const RATE_COLUMNS: readonly TrialColumn[] = [
  ["asked", (trial) => `${showCount(loadOf(trial))}/s`],
  VERDICT,
  ACHIEVED,
  ...replyColumns("of the reply"),
  ...[LAG, CPU],
];
const THROUGHPUT_COLUMNS: readonly TrialColumn[] = [
  ["connections", ({ clients }) => showCount(clients)],
  ACHIEVED,
  ...replyColumns("of the reply"),
  ...[LAG, CPU],
];

const byLoad = (trials: readonly Trial[]) =>
  [...trials].sort((one, other) => one.clients - other.clients);

function trialsOf({ trials }: LimitResult, kind: Trial["kind"]): Trial[] {
  return trials.filter((trial) => trial.kind === kind);
}

function drawTrials(columns: readonly TrialColumn[], trials: readonly Trial[]): string {
  if (trials.length === 0) return "";
  const head = columns.map(([name]) => (name === "verdict" ? left(name) : right(name)));
  const rows = trials.map((trial) => columns.map(([, show]) => show(trial)));
  return drawTable(head, rows);
}
