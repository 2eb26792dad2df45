/** What `--out` writes, and `npm run results` reads. */
import type { Figure, Outcome, Size } from "./figures/figure";

export interface BenchReport {
  readonly kind: "bench";
  readonly schema: 2;
  /** In one line. */
  readonly machine: string;
  readonly runs: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** What follows `npm run bench --`. */
  readonly args: readonly string[];
  /** It shows that the bench works, not how fast anything is. */
  readonly small: boolean;
  readonly size: Size;
  readonly host: Host;
  /** Of what is measured and what it is built with, as far as it is installed. */
  readonly versions: Readonly<Record<string, string>>;
  readonly figures: readonly MeasuredFigure[];
}

export interface Host {
  readonly cpus: number;
  readonly model: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
}

export interface MeasuredFigure extends Pick<Figure, "topic" | "at" | "unit" | "better"> {
  readonly figure: string;
  /** The label of the one that the others are held against. */
  readonly first: string;
  /** That could be measured. */
  readonly subjects: readonly Outcome[];
  readonly goals: readonly MeasuredGoal[];
  readonly notes: readonly string[];
}

export interface MeasuredGoal {
  readonly text: string;
  /** What was held against it: null where there was nothing to compare with. */
  readonly measured: number | null;
  readonly reached: boolean | null;
}
