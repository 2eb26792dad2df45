/** The text of `kilofork status`: a function of its result and of nothing else. */
import { whereIs } from "../base/address";
import { CAUSES, type Cause, isDeath } from "../base/enumerations";
import { sum } from "../base/numbers";
import { plural, showBytes, showCount, showDuration, showFigure } from "../base/units";
import { BUSY_STATES, LETTERS, type Status } from "./status";

const ROW = 50;
const MOST_ROWS = 10;
const MIXED = "+";

export function showStatus(status: Status): string {
  return [
    showServer(status),
    ...status.problems.map((problem) => line("problem", problem)),
    "",
    ...showPool(status),
    ...showKeeper(status),
    ...showTraffic(status),
    ...showChildren(status),
    ...showFiles(status),
    "",
    ...showSlots(status),
  ].join("\n");
}

function line(name: string, ...parts: readonly string[]): string {
  return `${name.padEnd(10)}${parts.filter((part) => part !== "").join("   ")}`;
}

function showServer(status: Status): string {
  const { release, front, upMs, owner } = status;
  return [
    `kilofork ${release}`,
    whereIs(status),
    `pid ${front.pid}`,
    `up ${showAge(upMs)}`,
    `user ${owner}`,
  ].join("   ");
}

function showPool({ limits, children, slotsByState, full }: Status): string[] {
  const { pool, minSpare, maxSpare, max } = limits;
  const alive = showCount(children.alive);
  const size =
    pool === "dynamic"
      ? `dynamic: ${alive} of at most ${plural(max, "child", "children")}, spare ${showCount(minSpare)} to ${showCount(maxSpare)}`
      : `static: ${children.alive === max ? "" : `${alive} of `}${plural(max, "child", "children")}`;
  const { idle, starting, stopping } = slotsByState;
  const busy = sum(BUSY_STATES.map((state) => slotsByState[state]));
  return [
    line("pool", size),
    line(
      "",
      `${showCount(busy)} busy`,
      `${showCount(idle)} idle`,
      `${showCount(starting)} starting`,
      `${showCount(stopping)} stopping`,
      `at maximum: ${showFull(full)}`,
    ),
  ];
}

function showKeeper({ keeper }: Status): string[] {
  if (!keeper) return [];
  const { pid, held, ready, inWork } = keeper;
  return [
    line(
      "keeper",
      `${plural(held, "connection")} held`,
      `${showCount(ready)} ready`,
      `${showCount(inWork)} in work`,
      pid > 0 ? `pid ${pid}` : "",
    ),
  ];
}

function showFull({ times, nowMs, totalMs }: Status["full"]): string {
  if (times === 0) return "never";
  const all = `${plural(times, "time")}, ${showAge(totalMs)} in all`;
  if (nowMs === null) return all;
  return `now for ${showAge(nowMs)}${times > 1 ? ` (${all})` : ""}`;
}

function showTraffic(status: Status): string[] {
  const { requestsPerSecond, sampleMs, oldestRequest, queue, limits, requests } = status;
  const refused = listCounts(status.refused);
  return [
    line(
      "now",
      `${showFigure(requestsPerSecond)} requests/s (sampled ${showDuration(sampleMs)})`,
      oldestRequest
        ? `oldest request ${showAge(oldestRequest.ageMs)}, pid ${oldestRequest.pid}`
        : "no request in work",
    ),
    queue
      ? line(
          "queue",
          `${showCount(queue.waiting)} waiting of ${showCount(queue.limit)}`,
          `${plural(queue.dropped, "handshake")} dropped${queue.dropped > 0 ? ", it was full" : ""}`,
        )
      : line("queue", `unknown of ${showCount(limits.backlog)}`),
    line(
      "total",
      plural(requests, "request"),
      plural(status.connections, "connection"),
      status.keeper ? plural(status.keeper.turns, "turn") : "",
      refused.total === 0 ? "0 refused" : `${showCount(refused.total)} refused (${refused.list})`,
    ),
  ];
}

function showChildren({ children }: Status): string[] {
  const { forked, alive, retired, died, ofOlderGeneration } = children;
  const ended = (those: (cause: Cause) => boolean) =>
    Object.fromEntries(CAUSES.filter(those).map((cause) => [cause, children.endedByCause[cause]]));
  const causes = [
    { what: "forked for", ...listCounts(children.forkedByCause) },
    { what: "retired", ...listCounts(ended((cause) => !isDeath(cause))) },
    { what: "died", ...listCounts(ended(isDeath)) },
  ];
  return [
    line(
      "children",
      `${showCount(forked)} forked = ${showCount(alive)} alive + ${showCount(retired)} retired + ${showCount(died)} died`,
    ),
    ...causes
      .filter(({ total }) => total > 0)
      .map(({ what, list }) => line("", `${what.padEnd(12)}${list}`)),
    ...(ofOlderGeneration > 0
      ? [
          line(
            "",
            `${showCount(ofOlderGeneration)} of ${showCount(alive)} are older than the last replace, and will be replaced`,
          ),
        ]
      : []),
  ];
}

function showFiles({ log, memory, children }: Status): string[] {
  const { onOlderLog, alive } = children;
  const lines = [
    line(
      "log",
      log.path === "-" ? "standard output" : log.path,
      onOlderLog > 0
        ? `${plural(onOlderLog, "child", "children")} still on the old one`
        : log.inPlace
          ? "all children on this file"
          : "",
    ),
  ];
  if (log.sync.acknowledges) lines.push(showSync(log));
  if (memory === null && alive > 0) lines.push(line("memory", "unknown: only root may read it"));
  if (memory) {
    const { bytesOfChildren, bytesPerChild, childrenRead } = memory;
    const basis = childrenRead < alive ? `, ${showCount(childrenRead)} of them read` : "";
    lines.push(
      line(
        "memory",
        `${showBytes(bytesOfChildren)} (${showBytes(bytesPerChild)} a child${basis}): private memory and page tables`,
      ),
    );
  }
  return lines;
}

function showSync({ sync, takenBack }: Status["log"]): string {
  const { syncs, requests, lastMs } = sync;
  const each = syncs > 0 ? ` (${showFigure(requests / syncs)} each)` : "";
  return line(
    "sync",
    `${plural(syncs, "sync")} for ${plural(requests, "request")}${each}`,
    syncs > 0 ? `the last took ${showDuration(lastMs)}` : "",
    takenBack > 0 ? `${showCount(takenBack)} not acknowledged` : "",
  );
}

/** A letter for each slot, or for each 10, 100, … slots when there are many. */
function showSlots({ slots, log }: Status): string[] {
  let perLetter = 1;
  while (slots.length / perLetter > ROW * MOST_ROWS) perLetter *= 10;
  const letters = split(slots, perLetter)
    .map((some) => (some.split("").every((letter) => letter === some[0]) ? some[0] : MIXED))
    .join("");
  const legend = Object.entries(LETTERS)
    .filter(([state]) => state !== "syncing" || log.sync.acknowledges || log.reader !== null)
    .map(([state, letter]) => `${letter} ${state}`);
  if (perLetter > 1) legend.push(`${MIXED} mixed`);
  return [
    ...split(letters, ROW).map((row) => `  ${row}`),
    ...(perLetter > 1 ? [`  ${showCount(perLetter)} slots a letter`] : []),
    `  ${legend.join("  ")}`,
  ];
}

function split(text: string, length: number): string[] {
  return Array.from({ length: Math.ceil(text.length / length) }, (_, i) =>
    text.slice(i * length, (i + 1) * length),
  );
}

/** `unauthorized 300, timeout 12`: without the zeros. */
function listCounts(counts: Readonly<Record<string, number>>): { total: number; list: string } {
  const entries = Object.entries(counts).filter(([, count]) => count > 0);
  return {
    total: entries.reduce((total, [, count]) => total + count, 0),
    list: entries.map(([name, count]) => `${name} ${showCount(count)}`).join(", "),
  };
}

/** `2.90 s`, `3 min 20 s`, `2 h 14 min`, `12 d 3 h`. */
export function showAge(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return showDuration(ms);
  const units = [
    { name: "d", seconds: 86_400 },
    { name: "h", seconds: 3600 },
    { name: "min", seconds: 60 },
    { name: "s", seconds: 1 },
  ];
  const first = units.findIndex((unit) => seconds >= unit.seconds);
  let rest = seconds;
  return units
    .slice(first, first + 2)
    .map((unit) => {
      const count = Math.floor(rest / unit.seconds);
      rest %= unit.seconds;
      return `${count} ${unit.name}`;
    })
    .join(" ");
}
