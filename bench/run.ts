/**
 * `npm run bench`: kilofork beside a plain C program of the original's design and node:cluster, in
 * turn (A B A B), medians and ratios. Machines are noisy: compare ratios of one run only.
 *
 *   npm run bench -- [--small] [--runs N] [--only TEXT] [--out FILE]
 */
import { writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { type Figure, figuresOf, type Size } from "./figures";
import { Workshop } from "./subjects";

const FULL: Size = {
  children: 1000,
  workMs: 3000,
  requests: 200_000,
  connections: [10, 100, 1000],
};
/** Shows that the bench works, not how fast anything is. */
const SMALL: Size = { children: 20, workMs: 200, requests: 400, connections: [10] };

interface Measured {
  readonly figure: string;
  readonly unit: string;
  readonly subjects: readonly {
    readonly label: string;
    readonly median: number;
    readonly min: number;
    readonly max: number;
    readonly values: readonly number[];
    /** Of the first subject to this one: the median of the ratios of each round. */
    readonly ratio: number;
  }[];
  readonly goal: { readonly text: string; readonly reached: boolean } | null;
  readonly notes?: readonly string[];
}

async function measure(figure: Figure, runs: number): Promise<Measured> {
  const values = figure.subjects.map((): number[] => []);
  for (let round = 0; round < runs; round++)
    for (const [i, subject] of figure.subjects.entries()) values[i]?.push(await subject.measure());
  const subjects = figure.subjects.map(({ label }, i) => {
    const own = values[i] ?? [];
    const ratios = own.map((value, round) => (values[0]?.[round] ?? 0) / value);
    return {
      label,
      median: median(own),
      min: Math.min(...own),
      max: Math.max(...own),
      values: own,
      ratio: median(ratios),
    };
  });
  const { goal } = figure;
  const against = subjects.find(({ label }) => label === goal?.to);
  return {
    figure: figure.name,
    unit: figure.unit,
    subjects,
    goal:
      goal && against
        ? {
            text: `${goal.better === "lower" ? "at most" : "at least"} ${goal.ratio} of ${goal.to}`,
            reached:
              goal.better === "lower" ? against.ratio <= goal.ratio : against.ratio >= goal.ratio,
          }
        : null,
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

function show({ figure, unit, subjects, goal }: Measured): string {
  const number = (value: number) =>
    value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1);
  const rows = subjects.map(({ label, median: middle, min, max, ratio }, i) => {
    const cells = `${number(middle).padStart(10)} ${unit.padEnd(3)} ${`${number(min)} to ${number(max)}`.padEnd(22)}`;
    return `  ${label.padEnd(36)}${cells}${i === 0 ? "" : `kilofork has ${ratio.toFixed(2)} of it`}`;
  });
  const verdict = goal ? `   goal: ${goal.text}: ${goal.reached ? "reached" : "NOT REACHED"}` : "";
  return [`${figure}${verdict}`, ...rows, ""].join("\n");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      small: { type: "boolean", default: false },
      runs: { type: "string" },
      only: { type: "string", default: "" },
      out: { type: "string" },
    },
  });
  const runs = Number(values.runs ?? (values.small ? 1 : 5));
  const shop = new Workshop();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void shop.close().then(() => process.exit(1)));
  try {
    const machine = `${cpus().length} x ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`;
    process.stdout.write(`${machine}; medians of ${runs}, least to most, in turn\n\n`);
    const results: Measured[] = [];
    for (const figure of figuresOf(shop, values.small ? SMALL : FULL)) {
      if (!figure.name.includes(values.only)) continue;
      const result = await measure(figure, runs);
      process.stdout.write(
        `${show(result)}${[...shop.notes].map((note) => `  ${note}\n`).join("")}\n`,
      );
      results.push({ ...result, notes: [...shop.notes] });
      shop.notes.clear();
    }
    const report = { kind: "bench", schema: 1, machine, runs, figures: results };
    if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`);
  } finally {
    await shop.close();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
});
