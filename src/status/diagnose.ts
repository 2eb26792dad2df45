/** Names the problems of a server: a function of what was collected and of nothing else. */
import type { GrowthLimit } from "../base/enumerations";
import { nameOfErrno } from "../base/errors";
import { plural, showCount, showDuration } from "../base/units";
import type { ScoreboardHeader } from "../native/header";
import type { Collected } from "./collect";
import type { Figures, Status } from "./status";

export function diagnose(collected: Collected): Status {
  const problems = problemsOf(collected);
  return { kind: "status", schema: 1, ok: problems.length === 0, problems, ...collected.figures };
}

function problemsOf({ figures, header, queueError }: Collected): string[] {
  const { front, supervisor, queue, log } = figures;
  return [
    ...frontProblems(front),
    ...supervisorProblems(supervisor),
    ...keeperProblems(figures, header),
    ...growthProblems(header),
    ...(queue && queue.waiting > queue.limit
      ? [
          "the queue is full: new connections are dropped, and their clients try again after a second",
        ]
      : []),
    ...(queueError === undefined ? [] : [`the queue cannot be read: ${queueError}`]),
    ...(header.logError !== 0
      ? [
          `the log cannot be written: ${nameOfErrno(header.logError)}; clients get "error unavailable"`,
        ]
      : []),
    ...syncProblems(header),
    ...readerProblems(header),
    ...(header.acceptError !== 0
      ? [`clients cannot be accepted: ${nameOfErrno(header.acceptError)}; it is tried again`]
      : []),
    ...(log.inPlace === false
      ? [
          `the log was renamed or removed, but the old file is still written to: kilofork ctl reopen ${header.port}`,
        ]
      : []),
  ];
}

function frontProblems({ pid, life }: Figures["front"]): string[] {
  if (life === "running") return [];
  return life === "stopped"
    ? [`the front (pid ${pid}) is stopped: clients are served, but orders wait`]
    : [`the front (pid ${pid}) is gone: the server is ending`];
}

function supervisorProblems({ pid, life }: Figures["supervisor"]): string[] {
  if (life === "running") return [];
  return life === "stopped"
    ? [`the supervisor (pid ${pid}) is stopped: no child is forked`]
    : ["the supervisor is gone, and its children with it; the front starts another"];
}

function keeperProblems({ keeper, supervisor }: Figures, { stopping }: ScoreboardHeader): string[] {
  if (!keeper || stopping || supervisor.life === "gone") return [];
  const { pid, life } = keeper;
  if (life === "gone")
    return ["there is no keeper: clients wait to be accepted, and children serve what they have"];
  return life === "stopped"
    ? [`the keeper (pid ${pid}) is stopped: requests in work go on, and all other clients wait`]
    : [];
}

function syncProblems({ logDead, logNumber, sync }: ScoreboardHeader): string[] {
  if (logDead && sync.error === 0)
    return [`the log was removed, and cannot be created again; clients get "error unavailable"`];
  if (logDead)
    return [
      `the log was given up, since a sync failed, and no other file could be opened; clients get "error unavailable"`,
    ];
  if (sync.acknowledges && sync.syncer === 0) return ["there is no syncer: replies wait"];
  return logNumber > 0 ? ["an earlier file of the log was given up, since a sync failed"] : [];
}

const STALLS_FROM_MS = 1000;

function readerProblems({ reader, sync }: ScoreboardHeader): string[] {
  if (!reader) return [];
  const { stalledMs, waitingBytes } = reader;
  return [
    ...(sync.syncer === 0 ? ["there is no log writer: replies wait"] : []),
    ...(stalledMs !== null && stalledMs >= STALLS_FROM_MS
      ? [
          `the reader of the log has taken nothing for ${showDuration(stalledMs)}, and ${plural(waitingBytes, "byte")} wait for it`,
        ]
      : []),
  ];
}

const waitingConnections = (ready: number) =>
  `${plural(ready, "connection")} with a request ${ready === 1 ? "waits" : "wait"}`;

function growthProblems({ growthLimit, limits, keeper }: ScoreboardHeader): string[] {
  const reasons: Readonly<Record<GrowthLimit, string>> = {
    none: "",
    maximum: keeper
      ? `its maximum: all ${showCount(limits.max)} children are busy, and ${waitingConnections(keeper.ready)}`
      : `its maximum: all ${showCount(limits.max)} children have a client, and clients wait`,
    memory: "memory: too little is left for the children that are needed",
    processes: "the limits on processes: fork failed, and is tried again",
    births: "deaths at birth: the last child died before it could accept",
  };
  return growthLimit === "none" ? [] : [`held back by ${reasons[growthLimit]}`];
}
