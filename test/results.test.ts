/** `npm run results`: a page that says what the JSON says, and nothing else. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Outcome } from "../bench/figures/figure";
import type { BenchReport, MeasuredFigure } from "../bench/report";
import { readBench, readLimit } from "../bench/results/inputs";
import { drawPage } from "../bench/results/page";
import type { LimitResult } from "../src/limit/result";
import type { Trial } from "../src/limit/trial";
import { temporaryFolder } from "./support/server";

/** `first`: the values of kilofork, in the same rounds. */
function outcome(label: string, values: readonly number[], first = values): Outcome {
  const middle = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b)[1] ?? 0;
  return {
    ...{ label, values, median: middle(values) },
    ...{ min: Math.min(...values), max: Math.max(...values) },
    ratio: middle(values.map((value, round) => (first[round] ?? 0) / value)),
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
      crowd: 30_000,
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
const pageOf = (changes: Partial<BenchReport>) =>
  drawPage({ bench: { ...bench, ...changes } }).markdown;
const leadsOf = (...figures: MeasuredFigure[]) =>
  /## Where others are ahead\n\n([\s\S]*?)\n\n## /.exec(pageOf({ figures }))?.[1] ?? "";

describe("the page", () => {
  const { markdown } = drawPage(all);

  test("has the figures of the JSON: median, spread, ratio", () => {
    const cells = (text: string) => text.replace(/ +/g, " ");
    for (const row of [
      "| kilofork | 49.3 kB | 48.2 to 50.1 | |",
      "| reference | 156 kB | 150 to 161 | 0.32 |",
      "| kilofork | 64,583/s | 63,000 to 66,001 | |",
      "| node:cluster | 46,200/s | 45,000 to 47,000 | 1.40 |",
      "| 1,000 | held | 121 ms | 40.0 ms | 2.90 s | 3.00 ms | 12.0 ms | 70 kB |",
      "| 57,431/s | held | 57,318/s | 3.00 ms | 12.0 ms | 1.00 ms | 50% |",
      "| 10,000 | 20,000/s | 3.00 ms | 12.0 ms | 1.00 ms | 50% |",
    ])
      expect(cells(markdown)).toContain(row);
  });

  test("says when, where, with what versions and by which commands it was measured", () => {
    for (const text of ["2026-11-25 21:29 UTC", "2 x A CPU", "24,576 MB", "Linux 6.1", "v20.1.0"])
      expect(markdown).toContain(text);
    expect(markdown).toMatch(/\| Net::Server +\| 2.013/);
    expect(markdown).toContain("measured in 3 rounds");
    for (const command of [
      "npm run bench -- --peers --out bench.json",
      "npx kilofork limit --json > limit.json",
      "npx kilofork limit --find rate --json > rate.json",
      "npx kilofork limit --sweep --json > sweep.json",
      "npm run results -- --bench bench.json --limit limit.json --rate rate.json --sweep sweep.json",
    ])
      expect(markdown).toContain(`\n${command}\n`);
  });

  test("says what breaks first and second, and where the knees are", () => {
    expect(markdown).toContain("16,123 clients at one instant");
    expect(markdown).toContain("57,431 requests a second on 100 connections");
    expect(markdown).toContain("What breaks first: CPU: processors 99% busy. Moved by: more proc");
    expect(markdown).toMatch(/second: kernel.pid_max 32768, which leaves room for 27,680 clients/);
    expect(markdown).toContain("(closed loop): its knee is at 1,000 connections");
  });

  test("a limit that nothing was seen to break at is not said to have broken", () => {
    const bound = { ...limit, firstLimit: limit.secondLimit };
    const { markdown: text } = drawPage({ bench, limit: bound });
    expect(text).toContain("Nothing broke up to there: the search ends at kernel.pid_max 32768");
    expect(text).not.toContain("breaks first");
  });

  test("says so when the limit is of another machine, was interrupted, or has a problem", () => {
    const machine = { ...limit.machine, cpus: 64 };
    const other = { ...limit, complete: false, problems: ["a < b"], machine };
    const { markdown: text } = drawPage({ bench, limit: other });
    expect(text).toContain("Another machine than the bench's**: 64 x A CPU");
    expect(text).toContain("At least 16,123 clients");
    expect(text).toContain("**Problem**: a \\< b");
    expect(markdown).not.toContain("Another machine than");
  });

  test("has the original's figures beside ours", () => {
    expect(markdown).toMatch(/first to last `recvd` +\| +170 ms \| +– \| +– \|/);
    expect(markdown).toMatch(/whole system +\| +350MB of 1,000: 351 kB \| +156 kB \| +49.3 kB/);
    expect(markdown).toMatch(/at one instant +\| 1,000, and no limit found \| +– \| +16,123/);
  });

  test("leaves out what there is no input for", () => {
    const { markdown: text, drawings } = drawPage({ bench });
    expect(text).not.toMatch(/breaks|knee|sweep|limit\.json|57,431|16,123/);
    expect(drawings.map(({ file }) => file)).toEqual(["memory.svg", "rate.svg", "cost.svg"]);
    expect(pageOf({ figures: bench.figures.slice(0, 1) })).not.toMatch(
      /Requests a second|rate.svg/,
    );
  });

  test("names what was left out and what failed", () => {
    const [figure] = bench.figures;
    const notes = ["Python: left out: not installed", "bare loop: FAILED: 9 of 10 verified"];
    const text = pageOf({ figures: figure ? [{ ...figure, notes }] : [] });
    expect(text).toContain("- Python: left out: not installed");
    expect(text).toContain("**Failed**: memory of an idle child: bare loop: FAILED: 9 of 10");
  });

  test("says when a run was a small one", () => {
    expect(pageOf({ small: true })).toContain("**A small run");
    expect(markdown).not.toContain("A small run");
  });
});

describe("goals", () => {
  const [figure] = bench.figures;
  const values = { kilofork: [40, 41, 42], reference: [150, 151, 152] };

  test("one that is not reached is named, with what was measured", () => {
    expect(pageOf({ figures: figure ? [figure] : [] })).toContain(
      "**Not reached**: memory of an idle child: at most 0.3 of reference. Measured: 0.316.",
    );
  });

  test("beside a rate that is not reached stands what the bare loop has", () => {
    const figure = {
      ...rate(1000, {
        kilofork: [171, 171, 171],
        Python: [100, 99, 101],
        "bare loop": [193, 193, 193],
      }),
      goals: [{ text: "at least 2 of the best of Python", measured: 1.71, reached: false }],
    };
    const text = pageOf({ figures: [figure] });
    expect(text).toContain("Measured: 1.71. The bare loop, the most that a process for each");
    expect(text).toContain("can do here, has 1.93.");
  });

  test("one that is reached is not, and one that cannot be told is neither", () => {
    const reached = pageOf({ figures: [memory(values, true)] });
    expect(reached).toContain("reaches 1 of its 1 goals");
    expect(reached).not.toMatch(/not reached/i);
    const unknown = pageOf({ figures: [memory(values, null)] });
    expect(unknown).toContain("Cannot be told: memory of an idle child");
    expect(unknown).not.toMatch(/not reached/i);
  });
});

describe("another one that is ahead", () => {
  test("is named where more is better, with how much, how surely, and why", () => {
    expect(leadsOf(rate(10, { kilofork: [100, 102, 98], "node:cluster": [120, 125, 119] }))).toBe(
      "- **node:cluster**, requests a second on 10 connections: 120/s against 100/s, 20% more, in each of 3 rounds. An event loop serves many connections in one process; with a process for each connection, a request costs switches of processes.",
    );
  });

  test("is named where less is better", () => {
    const lead = leadsOf(memory({ kilofork: [90, 91, 92], "bare loop": [30, 31, 29] }, true));
    expect(lead).toContain("30 kB against 91 kB, kilofork takes 3.03 times as much, in each of 3");
  });

  test("in some rounds only, it may be by chance", () => {
    expect(leadsOf(rate(10, { kilofork: [100, 110, 90], Python: [104, 105, 103] }))).toBe(
      "- **Python**, requests a second on 10 connections: 104/s against 100/s, 4% more, in 2 of 3 rounds: the order may be chance.",
    );
  });

  test("without a reason that is known, none is made up", () => {
    const lead = leadsOf(rate(10, { kilofork: [10, 11, 12], Python: [20, 21, 22] }));
    expect(lead).toMatch(/in each of 3 rounds. The design gives no reason for it.$/);
  });

  test("is not named where kilofork is ahead, or both are the same", () => {
    const none = "Nowhere in this run.";
    expect(leadsOf(rate(10, { kilofork: [20, 21, 22], "node:cluster": [10, 11, 12] }))).toBe(none);
    expect(
      leadsOf(rate(10, { kilofork: [1000, 1000, 1000], "bare loop": [1001, 1001, 1001] })),
    ).toBe(none);
  });

  test("cannot be told from memory that came out below zero", () => {
    const figure = memory({ kilofork: [50, 50, 50], "bare loop": [-4, -3, 2] }, true);
    expect(leadsOf(figure)).toBe("Nowhere in this run.");
    expect(pageOf({ figures: [figure] })).toContain("bare loop cannot be compared");
  });

  test("kilofork in another mode is no other one", () => {
    const synced = figureOf(
      { figure: "synced", topic: "rate synced", unit: "/s", better: "more" },
      { synced: [10, 11, 12], written: [20, 21, 22] },
    );
    expect(leadsOf(synced)).toBe("Nowhere in this run.");
  });
});

describe("the plots", () => {
  const { drawings, markdown } = drawPage(all);

  test("are those that the page shows", () => {
    const shown = [...markdown.matchAll(/\]\(results\/(.*?)\)/g)].map(([, file]) => file);
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

  test("of another kind, or of a bench before the page, is refused", () => {
    const { host: _, ...older } = bench;
    expect(() => readBench(fileOf(JSON.stringify(older)))).toThrow(/without host: run npm run be/);
    expect(() => readBench(fileOf(JSON.stringify(limit)))).toThrow(/not written by npm run bench/);
    expect(() => readLimit(fileOf(JSON.stringify(limit)), "rate")).toThrow(/limit --find rate/);
    expect(() => readBench(fileOf("{"))).toThrow(/JSON/);
    expect(() => readBench(fileOf("1"))).toThrow(/not an object/);
  });
});
