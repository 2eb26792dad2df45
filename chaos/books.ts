/**
 * Compares the replies that the clients had with the log and the counters of the server. Only the
 * reading of the logs is not pure.
 */
import { audit } from "../src/audit/audit";
import { sum } from "../src/base/numbers";
import { readLog } from "../src/log/damage";
import { Kind } from "../src/log/record";
import type { Batch } from "./batch";
import type { Balance } from "./server";

/** One run of the server, and its clients. */
export interface Served {
  readonly balance: Balance;
  readonly batches: readonly Batch[];
}

export interface Verdict {
  readonly sent: number;
  readonly verified: number;
  readonly counted: number;
  readonly completed: number;
  /** Requests with a reply and without a record `completed`. */
  readonly lost: number;
  /** Requests with two records `completed`, or two replies. */
  readonly doubled: number;
  /** Requests with a reply that the shared memory does not count. */
  readonly notCounted: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

export function judge(logs: readonly string[], served: readonly Served[]): Verdict {
  const { runs } = audit({ logs, atLeast: 0, all: true });
  const { completed, doubled } = readCompleted(logs);
  const batches = served.flatMap((run) => run.batches);
  const problems = runs.flatMap((run, i) => run.problems.map((text) => `run ${i + 1}: ${text}`));
  const check = (holds: boolean, text: string) => {
    if (!holds) problems.push(text);
  };
  let notCounted = 0;
  check(runs.length === served.length, `${served.length} runs, but ${runs.length} are in the log`);
  for (const [i, { balance, batches: own }] of served.entries()) {
    const { counted, died } = balance;
    const { completed = 0, takenBack = 0 } = runs[i]?.ledger ?? {};
    // A spool that is lost with all processes may take records of retractions with it.
    const retracted = Math.max(takenBack, balance.retracted);
    notCounted += Math.max(0, sum(own.map(({ verified }) => verified)) - counted);
    const books = `run ${i + 1}: ${counted} counted, ${completed} completed, ${takenBack} of ${retracted} not acknowledged, ${died} died`;
    check(counted <= completed - takenBack && completed <= counted + died + retracted, books);
  }
  const lost = sum(batches.map((batch) => lostOf(batch, completed.get(batch.name) ?? new Set())));
  const repliedTwice = sum(batches.map((batch) => batch.repliedTwice));
  const verified = sum(batches.map((batch) => batch.verified));
  check(lost === 0, `${lost} replies to requests that are not in the log as completed`);
  check(doubled === 0, `${doubled} requests completed more than once`);
  check(repliedTwice === 0, `${repliedTwice} requests replied to more than once`);
  check(notCounted === 0, `${notCounted} replies to requests that were not counted`);
  problems.push(...batches.flatMap((batch) => batch.problems));
  return {
    sent: sum(batches.map((batch) => batch.sent)),
    verified,
    counted: sum(served.map(({ balance }) => balance.counted)),
    completed: sum(runs.map(({ ledger }) => ledger.completed)),
    ...{ lost, doubled: doubled + repliedTwice, notCounted },
    failures: addUp(batches.map(({ failures }) => failures)),
    problems,
  };
}

/** Compares each reply if the client kept them, else their number. */
function lostOf({ verified, answered }: Batch, completed: ReadonlySet<string>): number {
  if (!answered) return Math.max(0, verified - completed.size);
  return [...answered].filter((number) => !completed.has(number)).length;
}

/** The numbers of the completed messages, by batch. */
function readCompleted(logs: readonly string[]): {
  completed: ReadonlyMap<string, ReadonlySet<string>>;
  doubled: number;
} {
  const completed = new Map<string, Set<string>>();
  let doubled = 0;
  for (const log of logs)
    readLog(log, {
      onRecord({ kind, messageStart, messageEnd }, bytes) {
        if (kind !== Kind.completed) return;
        const [name = "", number = ""] = bytes
          .toString("latin1", messageStart, messageEnd)
          .split(" ");
        const numbers = completed.get(name) ?? new Set();
        completed.set(name, numbers);
        if (numbers.has(number)) doubled++;
        numbers.add(number);
      },
      onDamage() {},
    });
  return { completed, doubled };
}

export function addUp(
  counts: readonly Readonly<Record<string, number>>[],
): Readonly<Record<string, number>> {
  const total: Record<string, number> = {};
  for (const [key, count] of counts.flatMap((each) => Object.entries(each)))
    if (count > 0) total[key] = (total[key] ?? 0) + count;
  return total;
}
