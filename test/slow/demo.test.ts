/** The demo: what a new user sees first. */
import { existsSync, readdirSync } from "node:fs";
import { constants } from "node:os";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { commandPath } from "../../src/base/paths";
import { drawInFlight } from "../../src/demo/picture";
import { temporaryFolder } from "../support/cleanup";
import { Command, run, withFiles } from "../support/command";
import { runOnTerminal } from "../support/terminal";
import { isRoot } from "../support/user";
import { until } from "../support/wait";

/** A folder for temporary files, to see what is left there. */
const demo = (folder: string, ...args: string[]) =>
  new Command(["demo", ...args], process.execPath, { TMPDIR: folder });

const PER_CONNECTION = ["--process-per", "connection"];
const PER_REQUEST = ["--process-per", "request"];
const SMALL = ["--children", "100", "--work", "500ms"];
const WITNESSES = {
  connection: [/client +100 greeted by 100 pids, unanswered/, /kernel +100 accepted connections/],
  request: [
    /client +100 unanswered; replies of 100 pids/,
    /kernel +100 children hold a connection/,
    /silent +500 more connections open/,
  ],
};

test.each(["connection", "request"] as const)(
  "with a process for each %s, proves as many clients as children, and leaves nothing",
  async (mode) => {
    const folder = temporaryFolder();
    const command = demo(folder, "--process-per", mode, ...SMALL);
    const { code, stdout } = await command.end();
    expect(code).toBe(0);
    for (const witness of WITNESSES[mode]) expect(stdout).toMatch(witness);
    expect(stdout).toMatch(/log +100 received, not completed/);
    expect(stdout).toMatch(/memory +100 slots working/);
    expect(stdout).toMatch(/100 replies <= 100 counted <= 100 completed +balanced/);
    expect(stdout).toMatch(/^PROVED {2}100 of 100 concurrent\. {3}Evidence: removed \(--keep\)$/m);
    // Of the processes, and not of the system: a hundred children have some megabytes.
    const [, megabytes] =
      /100 children up in \d+ ms, ([\d.]+) MB of private memory, /.exec(stdout) ?? [];
    if (isRoot) expect(Number(megabytes)).toBeGreaterThan(1);
    expect(Number(megabytes ?? 0)).toBeLessThan(20);
    expect(readdirSync(folder)).toEqual([]);
  },
);

test.each(["connection", "request"])("keeps the evidence if asked to: %s", async (mode) => {
  const folder = temporaryFolder();
  const args = ["--process-per", mode, "--clients", "3", "--work", "500ms", "--keep", "--json"];
  const command = demo(folder, ...args);
  const { evidence } = JSON.parse((await command.end()).stdout);
  expect(readdirSync(folder)).toEqual([basename(evidence)]);
  const audited = await run(
    ...["audit", join(evidence, "server.log"), "--client", join(evidence, "client.json")],
    ...["--at-least", "3"],
  );
  expect(audited.code).toBe(0);
});

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "ended by %s, leaves nothing",
  async (signal) => {
    const folder = temporaryFolder();
    const command = demo(folder, "--clients", "3", "--hold");
    await until("it holds", () => command.stdout.includes("in another terminal"));
    command.kill(signal);
    expect(await command.end()).toMatchObject({
      code: 128 + constants.signals[signal],
      stderr: "",
    });
    expect(readdirSync(folder)).toEqual([]);
  },
);

test.each([
  { mode: "connection", silent: [], client: { peak: 49 } },
  { mode: "request", silent: ["--silent", "20"], client: { peak: 50, pids: 49 } },
])(
  "with a process for each $mode, a child too few is NOT PROVED: exit 1, and the evidence stays",
  async ({ mode, silent, client }) => {
    const folder = temporaryFolder();
    const args = ["--clients", "50", "--children", "49", "--work", "500ms", "--json"];
    const { code, stdout } = await demo(folder, "--process-per", mode, ...silent, ...args).end();
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      ok: false,
      concurrent: 49,
      clients: 50,
      processPer: mode,
      silent: Number(silent[1] ?? 0),
      witnesses: { client, log: { peak: 49 }, memory: 49, kernel: 49 },
    });
    expect(code).toBe(1);
    expect(existsSync(join(result.evidence, "client.json"))).toBe(true);
  },
);

test("at 40 columns, picture and help fit", async () => {
  const points = [0, 10, 10, 0].map((inFlight, i) => ({ timeMs: i * 1000, inFlight }));
  for (const most of [10, 1000]) {
    const picture = drawInFlight(points, most, 1000, 40);
    expect(Math.max(...picture.map(({ length }) => length))).toBeLessThanOrEqual(40);
    expect(picture.at(-1)).toMatch(/^ +0 s +1 s +2 s/);
  }
  for (const command of ["demo", "client", "serve"]) {
    const argv = [process.execPath, commandPath, command, "--help"];
    const when = { text: "nothing", times: 1 };
    const { output } = await runOnTerminal({ argv, when, act: "Ctrl-C", columns: 40 });
    expect(output).toContain("Usage: kilofork");
    const long = output.split(/\r?\n/).filter(({ length }) => length > 40);
    expect(long).toEqual([]);
  }
});

test("silent connections are as many as the limit of open files has room for, and it says so", async () => {
  const { code, stdout } = await withFiles(500, ["demo", ...PER_REQUEST, ...SMALL]);
  expect(stdout).toContain("236 more connections open and silent, not 500: the limit of 500 open");
  expect(stdout).toMatch(/silent +236 more connections open/);
  expect(code).toBe(0);
});

test("all children of a keeper that has just enough open files have a connection", async () => {
  const demo = ["demo", ...PER_REQUEST, "--clients", "18", "--silent", "0", "--work", "500ms"];
  const { code, stdout } = await withFiles(100, demo);
  expect(stdout).toContain("PROVED  18 of 18 concurrent.");
  expect(code).toBe(0);
});

test("--silent has no effect with a process for each connection, and is refused", async () => {
  const { code, stderr } = await run("demo", ...PER_CONNECTION, "--silent", "5");
  expect(code).toBe(2);
  expect(stderr).toBe("kilofork: --silent is for --process-per request\n");
});

test("the picture is full only where all are in flight", () => {
  const points = [
    { timeMs: 0, inFlight: 0 },
    { timeMs: 10, inFlight: 10 },
    { timeMs: 90, inFlight: 10 },
    { timeMs: 100, inFlight: 0 },
  ];
  const [top = "", half = ""] = drawInFlight(points, 10, 50);
  expect(top).toMatch(/^10 \| {1,5}:#{30,}:?/);
  expect(half).toContain("#");
  const [missing = ""] = drawInFlight(points, 11, 50);
  expect(missing).not.toMatch(/[#:]/);
  expect(drawInFlight([], 10, 50)).toEqual([]);
  expect(drawInFlight(points, 10, 0).at(-1)).toMatch(/^ +0 s/); // no work: a tick a column
});
