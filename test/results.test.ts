/** `npm run results`: tables and plots that show what the JSON says. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Outcome } from "../bench/figures/figure";
import type { BenchReport, MeasuredFigure } from "../bench/report";
import { readBench, readLimit } from "../bench/results/inputs";
import { emptyPage, figuresOf, fillPage } from "../bench/results/page";
import { median } from "../src/base/numbers";
import type { LimitResult } from "../src/limit/result";
import type { Trial } from "../src/limit/trial";
import { temporaryFolder } from "./support/cleanup";

/** `first`: the values of kilofork, in the same rounds. */
function outcome(label: string, values: readonly number[], first = values): Outcome {
  return {
    ...{ label, values, median: median(values) },
    ...{ min: Math.min(...values), max: Math.max(...values) },
    ratio: median(values.map((value, round) => (first[round] ?? 0) / value)),
  };
}

function figureOf(
  of: Pick<MeasuredFigure, "figure" | "topic" | "at" | "unit" | "better">,
  values: Readonly<Record<string, readonly number[]>>,
  more: Partial<MeasuredFigure> = {},
): MeasuredFigure {
  const [first = ""] = Object.keys(values);
  const subjects = Object.entries(values).map(([label, own]) => outcome(label, own, values[first]));
  return { ...of, first, subjects, goals: [], notes: [], ...more };
}

const rate = (at: number, values: Readonly<Record<string, readonly number[]>>) =>
  figureOf(
    {
      figure: `requests a second on ${at} connections`,
      topic: "rate",
      at,
      unit: "/s",
      better: "more",
    },
    values,
  );
const memory = (values: Readonly<Record<string, readonly number[]>>, reached: boolean | null) =>
  figureOf(
    { figure: "memory of an idle child", topic: "idle memory", unit: "kB", better: "less" },
    values,
    {
      goals: [
        { text: "at most 0.3 of reference", measured: reached === null ? null : 0.316, reached },
      ],
    },
  );

const bench: BenchReport = {
  ...{ kind: "bench", schema: 2, machine: "2 x A CPU", runs: 3, small: false },
  startedAt: "2026-11-25T21:29:22.366Z",
  args: ["--peers", "--out", "/tmp/somewhere.json"],
  size: {
    ...{ children: 1000, workMs: 3000, requests: 200_000, connections: [10, 1000] },
    ...{
      mostConnections: 10_000,
      ...{ few: 20, silent: 10_000, idle: 15_000, crowd: 30_000 },
      writers: [8],
      lines: 1,
      increments: 1,
      messages: 1,
    },
  },
  host: {
    ...{ cpus: 2, model: "A CPU", memoryBytes: 24 * 2 ** 30, kernel: "6.1", node: "v20.1.0" },
  },
  versions: { kilofork: "0.1.0", "Net::Server": "2.013", Python: "3.11.7" },
  figures: [
    memory(
      { kilofork: [49.3, 50.1, 48.2], reference: [156, 150, 161], "bare loop": [41, 42, 40] },
      false,
    ),
    rate(10, { kilofork: [64_583, 63_000, 66_001], "node:cluster": [46_200, 45_000, 47_000] }),
    rate(1000, { kilofork: [47_500, 47_000, 49_000], "node:cluster": [48_211, 48_900, 48_000] }),
  ],
};

const ms = (p99: number) => ({
  ...{ count: 100, mean: p99, p50: p99 / 4, p90: p99, p99, p999: p99, max: p99 },
});
const trial: Trial = {
  ...{
    number: 1,
    kind: "clients",
    clients: 1000,
    rate: null,
    held: true,
    late: false,
    problems: [],
    cause: null,
  },
  ...{ workMs: 3000, rampMs: 200, upMs: 121, clientProcesses: 1, verified: 1000, failed: 0 },
  ...{ requestsPerSecond: 320, connectMs: ms(40), beyondMs: ms(12), lagMs: ms(1) },
  ...{ peak: 1000, processes: 1000, heldMs: 2900, togetherMs: 2900, working: 1000 },
  ...{ synRetransmits: 0, listenOverflows: 0, listenDrops: 0 },
  ...{ otherCpuShare: 0, busiestCpuShare: 0.5, memoryBeforeBytes: 7e9, memoryUpBytes: 8e9 },
  ...{ memoryPeakBytes: 9e9, idleChildBytes: 50_000, busyChildBytes: 71_680 },
};
const limit: LimitResult = {
  ...{ kind: "limit", schema: 1, ok: true, problems: [], find: "clients", clients: 16_123 },
  ...{ rate: null, complete: true, notes: [], bounds: [], sloMs: 1000, repeats: 2 },
  processPer: "connection",
  firstLimit: {
    ...{ name: "CPU", setting: "more processors", clients: null, evidence: "processors 99% busy" },
  },
  secondLimit: {
    ...{ name: "kernel.pid_max 32768", setting: "sysctl kernel.pid_max", clients: 27_680 },
    evidence: "",
  },
  machine: {
    ...{ cpus: 2, model: "A CPU", memoryBytes: 24 * 2 ** 30, system: "Linux 6.1, Node v20.1.0" },
  },
  trials: [trial],
};
const rateLimit: LimitResult = {
  ...{ ...limit, find: "rate", clients: null, rate: 57_431 },
  trials: [{ ...trial, kind: "rate", clients: 100, rate: 57_431, requestsPerSecond: 57_318 }],
};
const sweep: LimitResult = {
  ...limit,
  trials: [
    ...[10, 100, 1000, 10_000].map((clients) => ({
      ...{ ...trial, clients, beyondMs: ms(clients < 5000 ? 10 : 900) },
    })),
    ...[10, 100, 1000, 10_000].map((clients) => ({
      ...{ ...trial, kind: "throughput" as const, clients },
      requestsPerSecond: clients < 5000 ? 60_000 - clients : 20_000,
    })),
  ],
};
const all = { bench, limit, rate: rateLimit, sweep };
/** Without the spaces that align the columns. */
const cells = (text: string) => text.replace(/ +/g, " ");
const placesOf = (changes: Partial<BenchReport>) =>
  figuresOf({ bench: { ...bench, ...changes } }).places;
const aheadOf = (...figures: MeasuredFigure[]) =>
  cells(placesOf({ figures }).ahead ?? "")
    .split("\n")
    .slice(2);

describe("the tables", () => {
  const { places } = figuresOf(all);

  test("have the figures of the JSON: median, spread, ratio", () => {
    const markdown = cells(Object.values(places).join("\n"));
    for (const row of [
      "| kilofork | 49.3 kB | 48.2 to 50.1 | |",
      "| reference | 156 kB | 150 to 161 | 0.32 |",
      "| kilofork | 64,583/s | 63,000 to 66,001 | |",
      "| node:cluster | 46,200/s | 45,000 to 47,000 | 1.40 |",
      "| 1,000 | held | 121 ms | 40.0 ms | 2.90 s | 3.00 ms | 12.0 ms | 70 kB |",
      "| 57,431/s | held | 57,318/s | 3.00 ms | 12.0 ms | 1.00 ms | 50% |",
      "| 10,000 | 20,000/s | 3.00 ms | 12.0 ms | 1.00 ms | 50% |",
    ])
      expect(markdown).toContain(row);
  });

  test("say when, where, with what options and versions the run was made", () => {
    const run = cells(places.run ?? "");
    for (const text of ["2026-11-25 21:29 UTC", "2 x A CPU", "24,576 MB", "Linux 6.1", "v20.1.0"])
      expect(run).toContain(text);
    for (const row of ["| Net::Server | 2.013 |", "| rounds | 3 |", "| options | --peers |"])
      expect(run).toContain(row);
  });

  test("say what breaks first and second, and where the knees are", () => {
    const clients = cells(places["limit of clients"] ?? "");
    expect(clients).toContain("| found | 16,123 clients at one instant");
    expect(clients).toContain("| breaks first | CPU | – | processors 99% busy | more processors |");
    expect(clients).toContain(
      "| would break second | kernel.pid_max 32768 | 27,680 | – | sysctl kernel.pid_max |",
    );
    expect(places["limit of the rate"]).toContain("57,431 requests a second on 100 connections");
    expect(cells(places.curves ?? "")).toContain("(closed loop) | 1,000 connections |");
  });

  test("a limit that nothing was seen to break at is not said to have broken", () => {
    const bound = { ...limit, firstLimit: limit.secondLimit };
    const text = cells(figuresOf({ bench, limit: bound }).places["limit of clients"] ?? "");
    expect(text).toContain("| ends the search | kernel.pid_max 32768 | 27,680 |");
    expect(text).not.toContain("breaks first");
  });

  test("say so when the limit is of another machine, was interrupted, or has a problem", () => {
    const machine = { ...limit.machine, cpus: 64 };
    const other = { ...limit, complete: false, problems: ["a < b"], machine };
    const text = cells(figuresOf({ bench, limit: other }).places["limit of clients"] ?? "");
    expect(text).toContain("| another machine | 64 x A CPU");
    expect(text).toContain("| found | at least 16,123 clients");
    expect(text).toContain("| complete | no");
    expect(text).toContain("| problem | a \\< b |");
    expect(places["limit of clients"]).not.toContain("another machine");
  });

  test("have the original's figures beside ours", () => {
    expect(places.original).toMatch(/first to last recvd +\| +170 ms \| +– \| +– \|/);
    expect(places.original).toMatch(
      /whole system +\| +350MB of 1,000: 351 kB \| +156 kB \| +49.3 kB/,
    );
    expect(places.original).toMatch(
      /at one instant +\| 1,000, and no limit found \| +– \| +16,123/,
    );
  });

  test("leave out what there is no input for", () => {
    const { places: few, drawings } = figuresOf({ bench });
    expect(Object.values(few).join()).not.toMatch(/breaks|knee|sweep|57,431|16,123/);
    expect(drawings.map(({ file }) => file)).toEqual(["memory.svg", "rate.svg", "cost.svg"]);
    expect(Object.keys(placesOf({ figures: bench.figures.slice(0, 1) }))).not.toContain("rate");
  });

  test("name what was left out and what failed", () => {
    const [figure] = bench.figures;
    const notes = ["Python: left out: not installed", "bare loop: FAILED: 9 of 10 verified"];
    const text = placesOf({ figures: figure ? [{ ...figure, notes }] : [] })["idle memory"];
    expect(text).toContain("- Python: left out: not installed");
    expect(text).toContain("- bare loop: FAILED: 9 of 10 verified");
  });

  test("say when a run was a small one", () => {
    expect(placesOf({ small: true }).run).toContain("small");
    expect(places.run).not.toContain("small");
  });
});

describe("the table of goals", () => {
  const [figure] = bench.figures;
  const values = { kilofork: [40, 41, 42], reference: [150, 151, 152] };
  const goalsOf = (...figures: MeasuredFigure[]) => cells(placesOf({ figures }).goals ?? "");

  test("has the measured value of a goal that is not reached", () => {
    expect(goalsOf(...(figure ? [figure] : []))).toContain(
      "| memory of an idle child | at most 0.3 of reference | 0.316 | not reached |",
    );
  });

  test("says which goal is reached, and which was not measured", () => {
    expect(goalsOf(memory(values, true))).toContain("| 0.316 | reached |");
    expect(goalsOf(memory(values, null))).toContain("| – | not measured |");
    for (const reached of [true, null])
      expect(goalsOf(memory(values, reached))).not.toContain("not reached");
  });
});

describe("the table of peers that are ahead", () => {
  test("has a peer that is ahead where more is better, with its lead and the rounds", () => {
    expect(
      aheadOf(rate(10, { kilofork: [100, 102, 98], "node:cluster": [120, 125, 119] })),
    ).toEqual([
      "| requests a second on 10 connections | node:cluster | 120/s | 100/s | 1.20 | 3 of 3 |",
    ]);
  });

  test("has a peer that is ahead where less is better", () => {
    expect(aheadOf(memory({ kilofork: [90, 91, 92], "bare loop": [30, 31, 29] }, true))).toEqual([
      "| memory of an idle child | bare loop | 30 kB | 91 kB | 3.03 | 3 of 3 |",
    ]);
  });

  test("says in how many rounds a peer was ahead", () => {
    expect(aheadOf(rate(10, { kilofork: [100, 110, 90], Python: [104, 105, 103] }))).toEqual([
      "| requests a second on 10 connections | Python | 104/s | 100/s | 1.04 | 2 of 3 |",
    ]);
  });

  test("has no peer where kilofork is ahead, or both are the same", () => {
    expect(aheadOf(rate(10, { kilofork: [20, 21, 22], "node:cluster": [10, 11, 12] }))).toEqual([]);
    expect(
      aheadOf(rate(10, { kilofork: [1000, 1000, 1000], "bare loop": [1001, 1001, 1001] })),
    ).toEqual([]);
  });

  test("compares no memory that came out below zero", () => {
    const figure = memory({ kilofork: [50, 50, 50], "bare loop": [-4, -3, 2] }, true);
    expect(aheadOf(figure)).toEqual([]);
    expect(cells(placesOf({ figures: [figure] })["idle memory"] ?? "")).toContain(
      "| bare loop | -3 kB | -4 to 2 | |",
    );
  });

  test("has no kilofork in another mode", () => {
    const synced = figureOf(
      { figure: "synced", topic: "rate synced", unit: "/s", better: "more" },
      { synced: [10, 11, 12], written: [20, 21, 22] },
    );
    expect(aheadOf(synced)).toEqual([]);
  });
});

describe("kilofork in both modes", () => {
  const both = rate(100, {
    kilofork: [100, 100, 100],
    "kilofork, a process for each request": [160, 150, 170],
    Go: [150, 155, 160],
    "node:cluster": [50, 50, 50],
  });

  test("has a ratio of each mode to every subject", () => {
    const table = cells(placesOf({ figures: [both] }).rate ?? "");
    for (const row of [
      "| | median | least to most | kilofork / it | a process for each request / it |",
      "| kilofork | 100/s | 100 to 100 | | 1.60 |",
      "| kilofork, a process for each request | 160/s | 150 to 170 | 0.63 | |",
      "| node:cluster | 50/s | 50 to 50 | 2.00 | 3.20 |",
    ])
      expect(table).toContain(row);
  });

  test("is behind a peer in one mode, and not in the other", () => {
    expect(aheadOf(both)).toEqual([
      "| requests a second on 100 connections | Go | 155/s | 100/s | 1.55 | 3 of 3 |",
    ]);
    const behind = rate(10, {
      kilofork: [200],
      "kilofork, a process for each request": [100],
      Go: [150],
    });
    expect(aheadOf(behind)).toEqual([
      "| requests a second on 10 connections: a process for each request | Go | 150/s | 100/s | 1.50 | 1 of 1 |",
    ]);
  });

  test("has a line of its own in a plot of all servers, and a bar", () => {
    const peers = ["reference", "Net::Server", "Python", "node:cluster", "node:net", "Go"];
    const labels = ["kilofork", "kilofork, a process for each request", ...peers];
    const all = [...labels, "C event loop", "bare loop"].map((label) => [label, [1, 2, 3]]);
    const values = Object.fromEntries(all) as Record<string, number[]>;
    const drawings = figuresOf({
      bench: { ...bench, figures: [rate(10, values), rate(100, values), memory(values, true)] },
    }).drawings;
    for (const { svg } of drawings)
      for (const [label] of all) expect(svg).toContain(`>${label}</text>`);
  });
});

describe("a page", () => {
  const figures = figuresOf(all);
  const place = (name: string, content: string) =>
    `<!-- figures: ${name} -->\n\n${content}\n\n<!-- end -->`;

  test("is filled between its markers, and its text stays", () => {
    const { page } = fillPage(`# A\n\nText.\n\n${place("goals", "old")}\n\nMore.\n`, figures);
    expect(page).toBe(`# A\n\nText.\n\n${place("goals", figures.places.goals ?? "")}\n\nMore.\n`);
    expect(fillPage(page, figures).page).toBe(page);
  });

  test("keeps a place that the runs have nothing for, and says so", () => {
    const old = `${place("log", "old")}\n`;
    expect(fillPage(old, figures)).toEqual({ page: old, kept: ["log"] });
  });

  test("that is new has every place", () => {
    const page = emptyPage(figures);
    expect(fillPage(page, figures)).toEqual({ page, kept: [] });
    for (const content of Object.values(figures.places)) expect(page).toContain(content);
  });

  test("of this project has a place for each figure", () => {
    const page = readFileSync(join(__dirname, "..", "docs", "results.md"), "utf8");
    const names = [...page.matchAll(/<!-- figures: (.*) -->/g)].map(([, name]) => name);
    expect(names).toEqual(expect.arrayContaining(Object.keys(figures.places)));
  });
});

describe("the plots", () => {
  const { drawings, places } = figuresOf(all);

  test("are those that the page shows", () => {
    const page = Object.values(places).join("\n");
    const shown = [...page.matchAll(/\]\(results\/(.*?)\)/g)].map(([, file]) => file);
    expect(shown.sort()).toEqual(drawings.map(({ file }) => file).sort());
    expect(shown).toHaveLength(7);
  });

  test.each(drawings.map(({ file, svg }) => [file, svg]))("%s is well-formed XML", (_, svg) => {
    const parse = "import sys, xml.dom.minidom as d; d.parseString(sys.stdin.buffer.read())";
    const { status, stderr } = spawnSync("python3", ["-c", parse], { input: svg });
    expect(String(stderr)).toBe("");
    expect(status).toBe(0);
    expect(svg).not.toMatch(/NaN|Infinity|undefined|var\(/);
  });

  test("have a line for each server, and the knee of the sweep", () => {
    const svgOf = (name: string) => drawings.find(({ file }) => file === name)?.svg ?? "";
    for (const name of ["kilofork", "node:cluster"])
      expect(svgOf("rate.svg")).toContain(`>${name}</text>`);
    expect(svgOf("sweep-throughput.svg")).toContain("knee: 1,000");
    expect(svgOf("memory.svg")).toContain(">49.3 kB</text>");
  });
});

describe("an input", () => {
  const fileOf = (content: string) => {
    const file = join(temporaryFolder(), "input.json");
    writeFileSync(file, content);
    return file;
  };

  test("is read as it was written", () => {
    expect(readBench(fileOf(JSON.stringify(bench)))).toEqual(bench);
    expect(readLimit(fileOf(JSON.stringify(limit)), "clients")).toEqual(limit);
  });

  test("of another kind, or of an earlier bench, is refused", () => {
    const { host: _, ...older } = bench;
    expect(() => readBench(fileOf(JSON.stringify(older)))).toThrow(/without host: run npm run be/);
    expect(() => readBench(fileOf(JSON.stringify(limit)))).toThrow(/not written by npm run bench/);
    expect(() => readLimit(fileOf(JSON.stringify(limit)), "rate")).toThrow(/limit --find rate/);
    expect(() => readBench(fileOf("{"))).toThrow(/JSON/);
    expect(() => readBench(fileOf("1"))).toThrow(/not an object/);
  });
});
