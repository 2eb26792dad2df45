/** The search for the breaking point, end to end and small. */
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { LimitResult } from "../../src/limit/result";
import { ourProcesses, segmentsOf, temporaryFolder } from "../support/cleanup";
import { Command, run } from "../support/command";
import { until } from "../support/wait";

/** These trials take a few megabytes, also where other programs have most of the memory. */
const SMALL = ["--hold", "200ms", "--max-memory", "95%"];
const limit = (...args: string[]) => run("limit", ...SMALL, ...args);
const limitOfRate = (...args: string[]) =>
  run("limit", "--find", "rate", "--max-memory", "95%", ...args);

test("--max-clients 64 finds 64, and says that it ended there", async () => {
  const page = join(temporaryFolder(), "page.html");
  const { code, stdout, stderr } = await limit(
    ...["--max-clients", "64", "--json", "--slo", "10s", "--html", page],
  );
  expect(stderr).toBe("");
  expect(code).toBe(0);
  const result = JSON.parse(stdout) as LimitResult;
  expect(result).toMatchObject({
    ...{ kind: "limit", schema: 1, ok: true, problems: [], find: "clients", complete: true },
    ...{ clients: 64, rate: null, sloMs: 10_000, repeats: 2 },
    firstLimit: { name: "--max-clients 64", setting: "--max-clients", clients: 64 },
    secondLimit: { name: expect.any(String), setting: expect.any(String) },
  });
  expect(result.trials).toHaveLength(2);
  for (const trial of result.trials) {
    expect(trial).toMatchObject({
      ...{ kind: "clients", clients: 64, held: true, problems: [], cause: null },
      ...{ clientProcesses: 1, verified: 64, failed: 0, peak: 64, processes: 64 },
      ...{ synRetransmits: 0, beyondMs: { count: 64 }, connectMs: { count: 64 } },
    });
    expect(trial.togetherMs).toBeGreaterThan(0);
  }
  const html = readFileSync(page, "utf8");
  expect(html).toContain("64 clients at one instant, each served by a process of its own");
  expect(html.match(/<svg /g)).toHaveLength(2);
  expect(html).not.toMatch(/NaN|undefined|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
});

test("with a latency that no reply can keep, nothing holds, each load is tried twice, and the exit code is 1", async () => {
  const { code, stdout } = await limit("--max-clients", "16", "--slo", "1us");
  expect(code).toBe(1);
  expect(stdout.match(/^ {7}16 {2}late/gm)).toHaveLength(2);
  expect(stdout.match(/^ {8}1 {2}late/gm)).toHaveLength(2);
  expect(stdout).toMatch(/^LIMIT {3}0 clients/m);
  expect(stdout).toMatch(/NOTE {4}not even one held: .*beyond the work \(p99\), more than --slo/);
});

test("with too few descriptors for one client process, several are started, and descriptors are the first limit", async () => {
  const { code, stdout } = await new Command(
    [
      ...["-c", 'ulimit -n 80 && exec "$@"', "sh", process.execPath],
      ...[join(process.cwd(), "bin/kilofork.cjs"), "limit", ...SMALL, "--slo", "10s"],
      ...["--max-clients", "300", "--repeats", "1", "--json"],
    ],
    "sh",
  ).end();
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    clients: 256,
    firstLimit: { name: "16 client processes with 80 open files each", clients: 256 },
    secondLimit: { name: "--max-clients 300" },
    trials: [{ clientProcesses: 16, verified: 256, peak: 256, processes: 256 }],
  });
});

test("--sweep draws the curve below the limit, and throughput against connections", async () => {
  const page = join(temporaryFolder(), "page.html");
  const { code, stdout } = await limit(
    ...["--max-clients", "40", "--repeats", "1", "--slo", "10s", "--sweep", "--html", page],
    "--json",
  );
  expect(code).toBe(0);
  const { trials } = JSON.parse(stdout) as LimitResult;
  expect(trials.map(({ kind, clients }) => [kind, clients])).toEqual([
    ["clients", 40],
    ["clients", 10],
    ["throughput", 10],
    ["throughput", 30],
  ]);
  for (const trial of trials) expect(trial.requestsPerSecond).toBeGreaterThan(0);
  expect(readFileSync(page, "utf8").match(/<svg /g)).toHaveLength(3);
});

test("--find rate searches requests a second on a number of connections", async () => {
  // No rate holds: the search tries the first one and one request a second, twice each.
  const { code, stdout } = await limitOfRate("--connections", "5", "--slo", "1us", "--json");
  const result = JSON.parse(stdout) as LimitResult;
  expect(code).toBe(result.firstLimit?.name === "client" ? 3 : 1);
  expect(result).toMatchObject({ ok: false, find: "rate", rate: 0, clients: null });
  expect(result.trials.map(({ kind, rate, clients }) => [kind, rate, clients])).toEqual([
    ["rate", 2000, 5],
    ["rate", 2000, 5],
    ["rate", 1, 5],
    ["rate", 1, 5],
  ]);
  for (const trial of result.trials) expect(trial).toMatchObject({ failed: 0, synRetransmits: 0 });
});

test.each(["clients", "rate"] as const)("--process-per request searches %s, too", async (find) => {
  const clients = ["--max-clients", "20", "--hold", "200ms"];
  const { code, stdout } = await run(
    ...["limit", "--process-per", "request", "--find", find, "--max-memory", "95%"],
    ...["--repeats", "1", "--json"],
    ...(find === "clients" ? [...clients, "--slo", "10s"] : ["--connections", "5", "--slo", "1us"]),
  );
  const result = JSON.parse(stdout) as LimitResult;
  expect(result).toMatchObject({ find, processPer: "request", complete: true });
  for (const trial of result.trials) expect(trial).toMatchObject({ failed: 0, synRetransmits: 0 });
  if (find === "rate") return;
  expect(code).toBe(0);
  expect(result).toMatchObject({
    clients: 20,
    trials: [{ held: true, verified: 20, peak: 20, processes: 20 }],
  });
});

test("a load that the machine has no room for is not begun", async () => {
  const { code, stderr } = await limitOfRate("--connections", "1000000");
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^kilofork: no room for 1,000,000 clients beside what is left to others: /,
  );
});

describe("interrupted", () => {
  const traces = (pid: number) =>
    readdirSync(tmpdir()).filter((name) => name.startsWith(`kilofork-limit-${pid}-`));
  const commandOf = (pid: number) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")[2];
    } catch {
      return undefined; // it has ended
    }
  };
  const commands = () => ourProcesses().map(commandOf);

  test.each([
    ["SIGINT", "serve", 130],
    ["SIGTERM", "serve", 143],
    ["SIGTERM", "client", 143],
  ] as const)(
    "by %s while %s runs, it ends all, says so, and leaves nothing",
    async (signal, during, exit) => {
      const command = new Command([
        "limit",
        "--max-clients",
        "50",
        "--json",
        "--max-memory",
        "95%",
      ]);
      await until(`${during} runs`, () => commands().includes(during));
      command.kill(signal);
      const { code, stdout } = await command.end();
      expect(code).toBe(exit);
      expect(JSON.parse(stdout)).toMatchObject({
        ...{ ok: false, complete: false, clients: 0, problems: ["interrupted"] },
      });
      expect(ourProcesses()).toEqual([]);
      expect(traces(command.pid)).toEqual([]);
    },
  );

  test("when its output is closed, it ends all and leaves nothing", async () => {
    const command = new Command(["limit", "--max-clients", "50", ...SMALL]);
    await until("the search has begun", () => command.stdout !== "");
    command.closeOutput();
    const { code, stderr } = await command.end();
    expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
    expect(ourProcesses()).toEqual([]);
    expect(traces(command.pid)).toEqual([]);
  });

  test("by SIGKILL, what it started ends by itself", async () => {
    const command = new Command(["limit", "--max-clients", "50", "--json", "--max-memory", "95%"]);
    await until("the client runs", () => commands().includes("client"));
    const fronts = ourProcesses();
    command.kill("SIGKILL");
    await command.end();
    await until("all processes have ended", () => ourProcesses().length === 0);
    expect(fronts.flatMap(segmentsOf)).toEqual([]);
    expect(traces(command.pid)).toEqual([]);
  });
});
