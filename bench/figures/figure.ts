/** What a figure is made of: subjects in the order of measuring, and goals. */

export interface Subject {
  readonly label: string;
  readonly measure: () => Promise<number>;
}

/** What a figure is of, for whoever reads the JSON; its name is for people. */
export type Topic =
  | "idle memory"
  | "busy memory"
  | "start"
  | "window"
  | "growth"
  | "round trip"
  | "rate"
  | "crowd"
  | "rate synced"
  | "requests a sync"
  | "rate on a slow disk"
  | "cost"
  | "client start"
  | "system calls"
  | "clock calls"
  | "log"
  | "counters";

export interface Figure {
  readonly name: string;
  readonly topic: Topic;
  /** Of a topic that is measured on several: connections, or processes. */
  readonly at?: number;
  readonly unit: string;
  readonly better: "less" | "more";
  /** The ratio is of the first to each of the others. */
  readonly subjects: readonly Subject[];
  readonly goals?: readonly Goal[];
}

/** What came of a subject. */
export interface Outcome {
  readonly label: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly values: readonly number[];
  /** Of the first subject to this one: the median of the ratios of each round. */
  readonly ratio: number;
}

export interface Goal {
  readonly text: string;
  /** What is held against it; undefined: none of those to compare with was measured. */
  measured(outcomes: readonly Outcome[]): number | undefined;
  holds(measured: number): boolean;
}

export interface Size {
  readonly children: number;
  readonly workMs: number;
  /** Requests of one measurement of the rate, over all connections. */
  readonly requests: number;
  readonly connections: readonly number[];
  /** With the peers, beyond those. */
  readonly mostConnections: number;
  /** More than one client process can hold. */
  readonly crowd: number;
  /** Numbers of processes that write to one log, … */
  readonly writers: readonly number[];
  /** … and lines of one measurement, over all of them. */
  readonly lines: number;
  /** Increments of one measurement, over all processes: in shared memory, … */
  readonly increments: number;
  /** … and by messages. */
  readonly messages: number;
}

/** The first subject has at most so much of the best, which is the least, of the others named. */
export function lower(ratio: number, ...others: readonly string[]): Goal {
  return {
    text: `at most ${ratio} of ${bestOf(others)}`,
    measured: (outcomes) => best(Math.max, outcomes, others),
    holds: (own) => own <= ratio,
  };
}

/** The first subject has at least so much of the best, which is the most, of the others named. */
export function higher(ratio: number, ...others: readonly string[]): Goal {
  return {
    text: `at least ${ratio} of ${bestOf(others)}`,
    measured: (outcomes) => best(Math.min, outcomes, others),
    holds: (own) => own >= ratio,
  };
}

/** The first subject has at most so much. */
export function atMost(limit: number): Goal {
  return {
    text: `at most ${limit}`,
    measured: ([own]) => own?.median,
    holds: (own) => own <= limit,
  };
}

/** The first subject has at most so much more than another. */
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

/** Of the ratios to the others, the one to the best of them. */
function best(
  pick: (...ratios: number[]) => number,
  outcomes: readonly Outcome[],
  others: readonly string[],
): number | undefined {
  const ratios = outcomes.filter(({ label }) => others.includes(label)).map(({ ratio }) => ratio);
  const known = ratios.filter(Number.isFinite);
  return known.length > 0 ? pick(...known) : undefined;
}
