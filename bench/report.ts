/** The JSON that `npm run bench -- --out` writes and `npm run results` reads. */
import type { Figure, Outcome, Size } from "./figures/figure";

export interface BenchReport {
  readonly kind: "bench";
  readonly schema: 2;
  /** The host in one line. */
  readonly machine: string;
  readonly runs: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The arguments of `npm run bench --`. */
  readonly args: readonly string[];
  /** Made with --small: the times are not meaningful. */
  readonly small: boolean;
  readonly size: Size;
  readonly host: Host;
  /** Of the measured programs and their compilers, those that are installed. */
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
  /** The label of the subject that the others are compared with. */
  readonly first: string;
  /** The subjects that could be measured. */
  readonly subjects: readonly Outcome[];
  readonly goals: readonly MeasuredGoal[];
  readonly notes: readonly string[];
}

export interface MeasuredGoal {
  readonly text: string;
  /** Null if no subject to compare with was measured. */
  readonly measured: number | null;
  readonly reached: boolean | null;
}
