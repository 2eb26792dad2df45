/**
 * `npm run bench`: kilofork beside a plain C program of the original's design and node:cluster, in
 * turn (A B A B), medians and ratios. Machines are noisy: compare ratios of one run only.
 *
 *   npm run bench -- [--peers] [--small] [--runs N] [--only TEXT] [--out FILE]
 *
 * With --peers also beside Net::Server, Python, a single process of node:net and a bare loop without
 * a log, up to 10,000 connections; and the log, the counters, the system calls and the client's
 * start. A subject that cannot be measured is left out of that figure, with a note; the exit code is
 * 1 when it should have been possible. --small shows that the bench works, not how fast anything is.
 */
import { writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { figuresOf } from "./figures/all";
import type { Figure, Outcome, Size, Subject } from "./figures/figure";
import { readVersions } from "./host";
import type { BenchReport, Host, MeasuredFigure } from "./report";
import { Harness } from "./servers/harness";
import { LeftOut } from "./servers/installed";

const FULL: Size = {
  ...{ children: 1000, workMs: 3000 },
  ...{ requests: 200_000, connections: [10, 100, 1000], mostConnections: 10_000 },
  crowd: 30_000,
  ...{ writers: [1, 8, 1000], lines: 400_000, increments: 400_000_000, messages: 200_000 },
};
const SMALL: Size = {
  ...{ children: 20, workMs: 200 },
  ...{ requests: 400, connections: [10], mostConnections: 40 },
  crowd: 60,
  ...{ writers: [1, 8, 100], lines: 4000, increments: 8_000_000, messages: 4000 },
};

async function measure(figure: Figure, runs: number, harness: Harness): Promise<MeasuredFigure> {
  const values = new Map(figure.subjects.map((subject): [Subject, number[]] => [subject, []]));
  const active = new Set(figure.subjects);
  const lost = new Map<string, string[]>(); // why, and who
  for (let round = 0; round < runs; round++) {
    for (const subject of active) {
      harness.goOn();
      try {
        values.get(subject)?.push(await subject.measure());
      } catch (error) {
        harness.goOn();
        active.delete(subject);
        const why = describe(error);
        lost.set(why, [...(lost.get(why) ?? []), subject.label]);
        if (!(error instanceof LeftOut)) process.exitCode = 1;
        await harness.endAll();
      }
    }
  }
  for (const [why, labels] of lost) harness.notes.add(`${labels.join("; ")}: ${why}`);
  const [first = []] = values.values();
  const subjects = [...values]
    .filter(([, own]) => own.length > 0)
    .map(([{ label }, own]) => outcome(label, own, first));
  const { name, topic, at, unit, better } = figure;
  return {
    ...{ figure: name, topic, ...(at === undefined ? {} : { at }), unit, better },
    first: figure.subjects[0]?.label ?? "",
    subjects,
    goals: (figure.goals ?? []).map((goal) => {
      const measured = first.length > 0 ? goal.measured(subjects) : undefined;
      return {
        text: goal.text,
        measured: measured ?? null,
        reached: measured === undefined ? null : goal.holds(measured),
      };
    }),
    notes: [...harness.notes],
  };
}

function describe(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `${error instanceof LeftOut ? "left out" : "FAILED"}: ${text.trim()}`;
}

/** `first`: the values of the first subject, one a round. */
function outcome(label: string, own: readonly number[], first: readonly number[]): Outcome {
  const ratios = own.map((value, round) => (first[round] ?? Number.NaN) / value);
  return {
    label,
    median: median(own),
    min: Math.min(...own),
    max: Math.max(...own),
    values: own,
    ratio: median(ratios.filter(Number.isFinite)),
  };
}

function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}

function show({ figure, unit, subjects, goals, notes }: MeasuredFigure): string {
  const number = (value: number) =>
    value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1);
  const rows = subjects.map(({ label, median: middle, min, max, ratio }, i) => {
    const cells = `${number(middle).padStart(13)} ${unit.padEnd(3)} ${`${number(min)} to ${number(max)}`.padEnd(20)}  `;
    const has = i > 0 && Number.isFinite(ratio) ? `kilofork has ${ratio.toFixed(2)} of it` : "";
    return `  ${label.padEnd(33)}${cells}${has}`;
  });
  const verdict = { true: "reached", false: "NOT REACHED", null: "cannot be told" };
  const verdicts = goals.map(({ text, reached }) => `  goal: ${text}: ${verdict[`${reached}`]}`);
  return [figure, ...rows, ...verdicts, ...notes.map((note) => `  ${note}`), "", ""].join("\n");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      peers: { type: "boolean", default: false },
      small: { type: "boolean", default: false },
      runs: { type: "string" },
      only: { type: "string", default: "" },
      out: { type: "string" },
    },
  });
  const runs = Number(values.runs ?? (values.small ? 1 : 5));
  const harness = new Harness();
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const)
    process.once(signal, () => harness.interrupt());
  try {
    const host = describeHost();
    const machine = `${host.cpus} x ${host.model}, ${Math.round(host.memoryBytes / 2 ** 30)} GiB, Linux ${host.kernel}, Node ${host.node}`;
    const size = values.small ? SMALL : FULL;
    const startedAt = new Date().toISOString();
    process.stdout.write(`${machine}; medians of ${runs}, least to most, in turn\n\n`);
    const figures: MeasuredFigure[] = [];
    for (const figure of figuresOf(harness, size, values.peers)) {
      if (!figure.name.includes(values.only)) continue;
      const result = await measure(figure, runs, harness);
      process.stdout.write(show(result));
      figures.push(result);
      harness.notes.clear();
    }
    if (values.out === undefined) return;
    const report: BenchReport = {
      ...{ kind: "bench", schema: 2, machine, runs, startedAt, args: process.argv.slice(2) },
      ...{ small: values.small, size, host, versions: readVersions(), figures },
    };
    writeFileSync(values.out, `${JSON.stringify(report, null, 2)}\n`);
  } finally {
    await harness.close();
  }
}

function describeHost(): Host {
  return {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? "",
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
});
