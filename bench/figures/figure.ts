/** A figure: what is measured on which subjects, and the goals. */
import { median } from "../../src/base/numbers";

export interface Subject {
  readonly label: string;
  readonly measure: () => Promise<number>;
}

/** What a figure is about, for programs that read the JSON; its name is for people. */
export type Topic =
  | "idle memory"
  | "busy memory"
  | "start"
  | "window"
  | "growth"
  | "round trip"
  | "rate"
  | "crowd"
  | "slow reply"
  | "beside silent connections"
  | "connection memory"
  | "processor time"
  | "rate synced"
  | "requests a sync"
  | "rate on a slow disk"
  | "cost"
  | "client start"
  | "system calls"
  | "system calls in batches"
  | "clock calls"
  | "log"
  | "counters";

export interface Figure {
  readonly name: string;
  readonly topic: Topic;
  /** The number of connections or processes, in a topic that is measured on several. */
  readonly at?: number;
  readonly unit: string;
  readonly better: "less" | "more";
  /** In the order of measuring. Ratios are of the first to each of the others. */
  readonly subjects: readonly Subject[];
  readonly goals?: readonly Goal[];
}

/** The values of a subject, one a round. */
export interface Outcome {
  readonly label: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly values: readonly number[];
  /** The first subject divided by this one: the median of the ratios of the rounds. */
  readonly ratio: number;
}

export interface Goal {
  readonly text: string;
  /** The value that is compared; undefined if no subject to compare with was measured. */
  readonly measured: (outcomes: readonly Outcome[]) => number | undefined;
  readonly holds: (measured: number) => boolean;
}

export interface Size {
  readonly children: number;
  readonly workMs: number;
  /** Requests of one measurement of a rate, over all connections. */
  readonly requests: number;
  readonly connections: readonly number[];
  /** Measured with --peers only. */
  readonly mostConnections: number;
  /** Children, and connections that send, beside many silent connections. */
  readonly few: number;
  /** Silent connections beside them. */
  readonly silent: number;
  /** Silent connections whose memory is weighed. */
  readonly idle: number;
  /** Connections that take more than one client process. */
  readonly crowd: number;
  /** Numbers of processes that write to one log. */
  readonly writers: readonly number[];
  /** Lines of one measurement, over all writers. */
  readonly lines: number;
  /** Increments in shared memory of one measurement, over all processes. */
  readonly increments: number;
  /** Increments by messages of one measurement, over all processes. */
  readonly messages: number;
}

/** The first subject has at most this ratio of the least of the others named. */
export function lower(ratio: number, ...others: readonly string[]): Goal {
  return {
    text: `at most ${ratio} of ${bestOf(others)}`,
    measured: (outcomes) => best(Math.max, outcomes, others),
    holds: (own) => own <= ratio,
  };
}

/** The first subject has at least this ratio of the most of the others named. */
export function higher(ratio: number, ...others: readonly string[]): Goal {
  return {
    text: `at least ${ratio} of ${bestOf(others)}`,
    measured: (outcomes) => best(Math.min, outcomes, others),
    holds: (own) => own >= ratio,
  };
}

/** A goal of another subject than the first. */
export function goalOf(label: string, goal: Goal): Goal {
  return {
    ...goal,
    text: `${label}: ${goal.text}`,
    measured: (outcomes) => {
      const own = outcomes.find((outcome) => outcome.label === label);
      return (
        own && goal.measured(outcomes.map((other) => ({ ...other, ratio: ratioOf(own, other) })))
      );
    },
  };
}

/** The median of the ratios of the rounds; NaN if there is none. */
export function ratioOf(own: Pick<Outcome, "values">, other: Pick<Outcome, "values">): number {
  const ratios = other.values.map((value, round) => (own.values[round] ?? Number.NaN) / value);
  return median(ratios.filter(Number.isFinite));
}

/** The first subject has at most this value. */
export function atMost(limit: number): Goal {
  return {
    text: `at most ${limit}`,
    measured: ([own]) => own?.median,
    holds: (own) => own <= limit,
  };
}

/** The first subject has at most this much more than another. */
export function atMostMore(limit: number, unit: string, other: string): Goal {
  return {
    text: `at most ${limit} ${unit} more than ${other}`,
    measured: (outcomes) => {
      const than = outcomes.find(({ label }) => label === other);
      return outcomes[0] && than ? outcomes[0].median - than.median : undefined;
    },
    holds: (more) => more <= limit,
  };
}

function bestOf(others: readonly string[]): string {
  return others.length > 1 ? `the best of ${others.join("; ")}` : others.join();
}

/** The ratio to the best of the others. */
function best(
  pick: (...ratios: number[]) => number,
  outcomes: readonly Outcome[],
  others: readonly string[],
): number | undefined {
  const ratios = outcomes.filter(({ label }) => others.includes(label)).map(({ ratio }) => ratio);
  const known = ratios.filter((ratio) => ratio > 0 && Number.isFinite(ratio)); // memory may be < 0
  return known.length > 0 ? pick(...known) : undefined;
}
