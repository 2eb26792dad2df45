/** The text of `kilofork limit`: an opening, a line for each trial, and the result. */
import { plural, showCount, showDuration, writeDuration } from "../base/units";
import type { Bound } from "./bounds";
import type { Limit } from "./judge";
import type { LimitOptions, LimitResult } from "./result";
import { outcomeOf, type Trial } from "./trial";

const MEGABYTE = 2 ** 20;

export function showOpening(
  { find, sloMs, repeats, connections, processPer }: LimitOptions,
  machine: LimitResult["machine"],
  bounds: readonly Bound[],
): string {
  const what =
    find === "clients"
      ? "How many clients are served at one instant, each by a process of its own?"
      : `How many requests a second are answered on ${plural(connections, "connection")}?`;
  const mode = processPer === "request" ? " (--process-per request)" : "";
  const bound = bounds[0]
    ? `It ends at ${showCount(bounds[0].clients)} clients: ${bounds[0].name}.`
    : "";
  return [
    `${what}${mode}`,
    `${plural(machine.cpus, "CPU")}, ${showCount(machine.memoryBytes / MEGABYTE)} MB, ${machine.system}. A load holds when every reply is right, ${timesOf(repeats)}, and`,
    `99 of 100 replies take at most ${writeDuration(sloMs)} beyond the work. ${bound}`,
    "",
    HEADERS[find],
  ].join("\n");
}

export const HEADERS: Readonly<Record<Trial["kind"], string>> = {
  clients:
    "                                  connect            beyond the work\n" +
    "  clients  verdict  children up       p99  together        p50        p99    a busy child",
  rate: "     rate  verdict     achieved  connections       p50        p99   own lag p99   CPU busy",
  throughput:
    "\nas many requests as possible, without work\n" +
    "  clients              achieved  connections       p50        p99   own lag p99   CPU busy",
};

/** One line; another for what broke. */
export function showTrial(trial: Trial): string {
  const { kind, held, cause } = trial;
  const verdict = kind === "throughput" ? "" : outcomeOf(trial).replace("broke", "BROKE");
  const cells = kind === "clients" ? cellsOfClients(trial) : cellsOfRate(trial);
  const line = `${showCount(loadOf(trial)).padStart(9)}  ${verdict.padEnd(7)}${cells}`.trimEnd();
  return held || !cause ? line : `${line}\n${" ".repeat(11)}${cause.name}: ${cause.evidence}`;
}

function cellsOfClients({ upMs, connectMs, togetherMs, beyondMs, busyChildBytes }: Trial): string {
  return [
    cell(upMs === null ? "-" : showDuration(upMs), 13),
    cell(connectMs?.count ? showDuration(connectMs.p99) : "-", 9),
    cell(togetherMs > 0 ? showDuration(togetherMs) : "-", 10),
    cell(beyondMs?.count ? showDuration(beyondMs.p50) : "-", 11),
    cell(beyondMs?.count ? showDuration(beyondMs.p99) : "-", 11),
    cell(busyChildBytes === null ? "-" : `${Math.round(busyChildBytes / 1024)} kB`, 16),
  ].join("");
}

function cellsOfRate(trial: Trial): string {
  const { requestsPerSecond, clients, beyondMs, lagMs, busiestCpuShare } = trial;
  return [
    cell(`${showCount(requestsPerSecond)}/s`, 13),
    cell(showCount(clients), 13),
    cell(beyondMs?.count ? showDuration(beyondMs.p50) : "-", 10),
    cell(beyondMs?.count ? showDuration(beyondMs.p99) : "-", 11),
    cell(lagMs?.count ? showDuration(lagMs.p99) : "-", 14),
    cell(`${Math.round(busiestCpuShare * 100)} %`, 11),
  ].join("");
}

const cell = (text: string, width: number) => text.padStart(width);

export function showResult(result: LimitResult): string {
  const { find, firstLimit, secondLimit, trials } = result;
  const largest = trials.findLast(
    (trial) => trial.kind === find && trial.held && loadOf(trial) === result[find],
  );
  return [
    "",
    `LIMIT   ${showFound(result)}`,
    ...(largest?.busyChildBytes
      ? [
          `        ${Math.round(largest.busyChildBytes / 1024)} kB a busy child, of the whole system; children up in ${showDuration(largest.upMs ?? 0)}`,
        ]
      : []),
    ...(firstLimit ? [`first   ${showLimit(firstLimit)}`] : []),
    ...(secondLimit ? [`second  ${showLimit(secondLimit)}`] : []),
    ...[...result.problems, ...result.notes].map((text) => `NOTE    ${text}`),
  ].join("\n");
}

/** The number that was found, in words. */
export function showFound(result: LimitResult): string {
  const { find, complete } = result;
  const found = result[find] ?? 0;
  if (!complete && found === 0) return "not found: interrupted before a load had held";
  const what =
    find === "clients"
      ? `${plural(found, "client")} at one instant, each served by a process of its own`
      : plural(found, "request a second", "requests a second");
  return `${complete ? "" : "at least "}${what}`;
}

/** A sentence that says when a load holds. */
export function showCondition({ sloMs, repeats, find }: LimitResult): string {
  const together = find === "clients" ? ", the peak in the log equals the number of clients" : "";
  return `A load holds when every reply is right${together}, no SYN is sent again, and 99 of 100 replies take at most ${writeDuration(sloMs)} beyond the work; ${timesOf(repeats)}.`;
}

const timesOf = (repeats: number) => (repeats === 1 ? "once" : `${repeats} times in a row`);

const showLimit = (limit: Limit) => `${describeLimit(limit)}\n        moved by: ${limit.setting}`;

/** `memory (12,345 clients): the evidence`. */
export function describeLimit({ name, clients, evidence }: Limit): string {
  const room = clients === null ? "" : ` (${plural(clients, "client")})`;
  return `${name}${room}${evidence === "" ? "" : `: ${evidence}`}`;
}

export function loadOf({ kind, clients, rate }: Trial): number {
  return kind === "rate" ? (rate ?? 0) : clients;
}
