/**
 * `npm run bench`: measures kilofork, in both of its modes, beside a C program of the original's design
 * and node:cluster, in turn (A B A B), and prints medians and ratios. Machines are noisy: compare ratios
 * of one run only.
 *
 *   npm run bench -- [--peers] [--small] [--runs N] [--only PATTERN] [--out FILE]
 *
 * --peers adds Net::Server, Python, Go, a single process of node:net, an event loop in C and a bare
 * loop without a log, up to 10,000 connections; and the processor time, the log, the counters, the
 * system calls and the client's start. --only chooses figures by their names. --small
 * shows that the bench works: its times are not meaningful. A subject that cannot be measured is left
 * out of that figure, with a note; the exit code is 1 if the machine had what the subject needs.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { figuresOf } from "./figures/all";
import type { Size } from "./figures/figure";
import { readHost, readVersions } from "./host";
import type { BenchReport, MeasuredFigure } from "./report";
import { measureInRounds } from "./rounds";
import { Harness } from "./servers/harness";

const FULL: Size = {
  ...{ children: 1000, workMs: 3000 },
  ...{ requests: 200_000, connections: [10, 100, 1000], mostConnections: 10_000 },
  ...{ few: 20, silent: 10_000, idle: 15_000, crowd: 30_000 },
  ...{ writers: [1, 8, 1000], lines: 400_000, increments: 400_000_000, messages: 200_000 },
};
const SMALL: Size = {
  ...{ children: 20, workMs: 200 },
  ...{ requests: 400, connections: [10], mostConnections: 40 },
  ...{ few: 4, silent: 40, idle: 100, crowd: 60 },
  ...{ writers: [1, 8, 100], lines: 4000, increments: 8_000_000, messages: 4000 },
};

function show({ figure, first, unit, subjects, goals, notes }: MeasuredFigure): string {
  const number = (value: number) =>
    value >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1);
  const rows = subjects.map(({ label, median: middle, min, max, ratio }, i) => {
    const cells = `${number(middle).padStart(13)} ${unit.padEnd(3)} ${`${number(min)} to ${number(max)}`.padEnd(20)}  `;
    const has = i > 0 && Number.isFinite(ratio) ? `${first} has ${ratio.toFixed(2)} of it` : "";
    return `  ${label.padEnd(38)}${cells}${has}`;
  });
  const verdict = { true: "reached", false: "NOT REACHED", null: "not measured" };
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
  const only = new RegExp(values.only);
  const harness = new Harness();
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const)
    process.once(signal, () => harness.interrupt());
  try {
    const host = readHost();
    const machine = `${host.cpus} x ${host.model}, ${Math.round(host.memoryBytes / 2 ** 30)} GiB, Linux ${host.kernel}, Node ${host.node}`;
    const size = values.small ? SMALL : FULL;
    const startedAt = new Date().toISOString();
    process.stdout.write(`${machine}; medians of ${runs}, least to most, in turn\n\n`);
    const figures: MeasuredFigure[] = [];
    for (const figure of figuresOf(harness, size, values.peers)) {
      if (!only.test(figure.name)) continue;
      const result = await measureInRounds(figure, runs, harness);
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

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
});
