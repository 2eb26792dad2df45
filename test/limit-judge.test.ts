/** The verdict on a trial, the bounds of the machine, and the plots. All are pure. */
import { constants } from "node:os";
import { describe, expect, test } from "vitest";
import { boundsOf, clientProcesses } from "../src/limit/bounds";
import type { ClientsResult } from "../src/limit/clients";
import type { Harness, Measured, TrialPlan } from "../src/limit/harness";
import { judge } from "../src/limit/judge";
import { Trials } from "../src/limit/trial";
import { type Machine, problemsOfServer } from "../src/machine/capacity";
import type { LoadFailures } from "../src/native/load";
import { drawPlot, findKnee } from "../src/report/plot";

const ms = (p99: number) => ({
  ...{ count: 100, mean: p99, p50: p99, p90: p99, p99, p999: p99, max: p99 },
});
const plan: TrialPlan = {
  ...{ number: 1, clients: 100, workMs: 3000, rampMs: 200, rate: 0, durationMs: 0 },
  ...{ barrier: false, timeoutMs: 10_000 },
};
const clients: ClientsResult = {
  ...{ clients: 100, processes: 1, sent: 100, verified: 100, failures: [], synRetransmits: 0 },
  ...{ incomplete: [], togetherMs: 2900, elapsedMs: 3100, requestsPerSecond: 32, lost: [] },
  ...{ connectMs: ms(5), replyMs: ms(3010), beyondMs: ms(10), lagMs: ms(1) },
};
const log = {
  ...{ peak: 100, pids: 100, heldMs: 2900, counted: 100, completed: 100, died: 0, problems: [] },
};
const well: Measured = {
  ...{
    upMs: 20,
    startFailure: null,
    logError: 0,
    clients,
    log,
    working: 100,
    shortage: false,
    otherShare: 0,
  },
  ...{ busiestShare: 0.5, listenOverflows: 0, listenDrops: 0, queueDrops: 0 },
  memory: { beforeBytes: 7e9, upBytes: 8e9, peakBytes: 9e9, frontBytes: 1e7, clientBytes: 1e7 },
};
const conditions = {
  sloMs: 1000,
  nearestProcessLimit: { name: "kernel.pid_max 32768", remedy: "sysctl kernel.pid_max" },
};
const judged = (changes: Partial<Measured>, of: Partial<ClientsResult> = {}, how = plan) =>
  judge({ ...well, clients: { ...clients, ...of }, ...changes }, how, conditions);
const failure = (kind: LoadFailures["kind"], detail: string): LoadFailures[] => [
  { kind, count: 3, firstClient: 7, detail },
];

describe("a trial of clients at once", () => {
  test("holds when all is right", () => {
    expect(judged({})).toEqual({
      held: true,
      problems: [],
      cause: null,
      late: false,
      apart: false,
    });
  });

  test.each<[string, Partial<Measured>, Partial<ClientsResult>, RegExp]>([
    ["a reply that is missing", {}, { verified: 99 }, /99 of 100 replies/],
    ["a failure", {}, { failures: failure("timeout", "") }, /3 timeout: no reply in time/],
    ["a SYN that was sent again", {}, { synRetransmits: 2 }, /2 SYNs sent again/],
    ["a peak that is one short in the log", { log: { ...log, peak: 99 } }, {}, /log: 99 of 100/],
    ["a peak in too few processes", { log: { ...log, pids: 99 } }, {}, /in 99 processes/],
    ["a client process without its whole share", {}, { incomplete: ["1: 49 of 50"] }, /49 of 50/],
    ["client processes that were not there together", {}, { togetherMs: 0 }, /not in flight toget/],
    ["books that do not balance", { log: { ...log, counted: 99 } }, {}, /the server counted 99/],
    ["a log that is damaged", { log: { ...log, problems: ["torn"] } }, {}, /torn/],
    ["replies that are late", {}, { beyondMs: ms(1001) }, /1.00 s beyond the work \(p99\)/],
  ])("breaks with %s", (_, measured, of, problem) => {
    const { held, problems } = judged(measured, of);
    expect(held).toBe(false);
    expect(problems.join("; ")).toMatch(problem);
  });

  test("holds with replies that are just in time", () => {
    expect(judged({}, { beyondMs: ms(1000) }).held).toBe(true);
  });

  test("has one problem if a failure explains the replies that are missing, or nothing started", () => {
    const failures = failure("timeout", "");
    expect(judged({}, { verified: 97, failures }).problems).toHaveLength(1);
    const nothing = { clients: null, log: null, upMs: null };
    expect(judged({ ...nothing, shortage: true }).problems).toHaveLength(1);
    const startFailure = { code: "ERR_LISTEN", errno: undefined, message: "cannot listen" };
    expect(judged({ ...nothing, startFailure }).problems).toEqual(["cannot listen"]);
  });

  test("is called late only if nothing else is wrong", () => {
    expect(judged({}, { beyondMs: ms(1001) }).late).toBe(true);
    expect(judged({}, { beyondMs: ms(1001), verified: 99 }).late).toBe(false);
    expect(judged({}, { beyondMs: ms(1001), togetherMs: 0 }).late).toBe(false);
  });

  test("is called apart, and no failure of the server, only if nothing else is wrong", () => {
    expect(judged({}, { togetherMs: 0 }).apart).toBe(true);
    expect(judged({}, { togetherMs: 0, verified: 99 }).apart).toBe(false);
  });
});

describe("what broke is named from the evidence", () => {
  const notStarted = (code: string, errno: number | undefined, message: string) => ({
    ...{ upMs: null, clients: null, log: null, startFailure: { code, errno, message } },
  });
  const { ENOMEM, EAGAIN, EMFILE, ENOSPC, EADDRINUSE } = constants.errno;
  test.each<[string, Partial<Measured>, Partial<ClientsResult>]>([
    ["memory", { shortage: true }, {}],
    ["memory", notStarted("ERR_MACHINE_LIMIT", ENOMEM, "fork failed beside 9 children"), {}],
    [
      "kernel.pid_max 32768",
      notStarted("ERR_MACHINE_LIMIT", EAGAIN, "fork failed beside 9 children"),
      {},
    ],
    ["open files", notStarted("ERR_MACHINE_LIMIT", EMFILE, "the limit of 100 open files"), {}],
    ["the server's start", notStarted("ERR_MACHINE_LIMIT", undefined, "a backlog of 9"), {}],
    ["the server's start", notStarted("ERR_LISTEN", undefined, "cannot listen"), {}],
    ["the server's start", notStarted("ERR_LISTEN", EADDRINUSE, "cannot listen"), {}],
    ["log", { logError: ENOSPC }, { verified: 1 }],
    ["log", {}, { failures: failure("refused", '"error unavailable: x"') }],
    ["children that died", { log: { ...log, died: 3 } }, { failures: failure("lost", "") }],
    ["ephemeral ports", {}, { failures: failure("connect", "Cannot assign requested address") }],
    ["descriptors", {}, { failures: failure("connect", "Too many open files") }],
    ["memory for sockets", {}, { failures: failure("connect", "No buffer space available") }],
    ["accept queue", { listenOverflows: 4, listenDrops: 4 }, { synRetransmits: 4 }],
    ["client", {}, { beyondMs: ms(1500), lagMs: ms(1200) }],
    ["client", {}, { togetherMs: 0 }],
    // The latency without the client's lag is just within --slo; the lag is just half of the latency.
    ["client", {}, { beyondMs: ms(3000), lagMs: ms(2000) }],
    ["latency", {}, { beyondMs: ms(1500), lagMs: ms(750) }],
    // One of the failures has a name, and another has none.
    [
      "descriptors",
      {},
      { failures: [...failure("lost", ""), ...failure("connect", "Too many open files")] },
    ],
    // The kernel dropped what was another program's: no SYN of the clients was sent again.
    ["latency", { listenOverflows: 4, listenDrops: 4 }, { beyondMs: ms(1500) }],
    ["CPU", { busiestShare: 0.95 }, { beyondMs: ms(1500) }],
    // A client process was killed, or they were not there together: the server could not know.
    ["CPU", { busiestShare: 1 }, { lost: ["client process 1 was killed"], verified: 50 }],
    ["CPU", { busiestShare: 1, log: { ...log, peak: 99 } }, { togetherMs: 0 }],
    ["CPU", { busiestShare: 0.99 }, { beyondMs: ms(1500) }],
    ["latency", {}, { beyondMs: ms(1500) }],
    // Most of it is the client's own lag, but the server alone would have been too slow as well.
    ["latency", {}, { beyondMs: ms(5000), lagMs: ms(3000) }],
    ["latency", {}, { verified: 97, failures: failure("timeout", "") }],
    // The clients say the same: one of them was late to connect.
    ["CPU", { busiestShare: 1, log: { ...log, peak: 99 } }, { incomplete: ["1: 99 of 100"] }],
  ])("%s", (name, measured, of) => {
    expect(judged(measured, of).cause?.name).toBe(name);
  });

  test.each<[string, Partial<Measured>, Partial<ClientsResult>]>([
    ["books that do not balance", { log: { ...log, counted: 99 } }, {}],
    ["a log that is damaged", { log: { ...log, problems: ["torn"] } }, {}],
    ["a wrong reply", {}, { verified: 97, failures: failure("mismatch", 'got "x"') }],
    ["a reply that is lost", {}, { verified: 97, failures: failure("lost", "") }],
    ["a reply that is missing", {}, { verified: 99 }],
    [
      "a reply that is late and one that is wrong",
      {},
      { verified: 94, failures: [...failure("timeout", ""), ...failure("mismatch", "")] },
    ],
    ["a peak that the clients saw and the log has not", { log: { ...log, peak: 99 } }, {}],
  ])("the server, for %s, however busy client and processors were", (_, measured, of) => {
    const busy = { ...measured, busiestShare: 1 };
    const lagging = { ...of, beyondMs: ms(1500), lagMs: ms(1200) };
    expect(judged(busy, lagging).cause).toMatchObject({
      name: "the server",
      setting: "none: see the evidence",
    });
  });

  test.each<[Partial<Measured>, Partial<ClientsResult>, RegExp]>([
    [{ log: { ...log, died: 1, problems: ["torn"] } }, {}, /^1 child died; torn$/],
    [
      { queueDrops: 3, listenOverflows: 4, listenDrops: 5 },
      { synRetransmits: 2 },
      /^2 SYNs sent again, 3 dropped by its socket, ListenOverflows \+4, ListenDrops \+5$/,
    ],
    [{ listenDrops: 5 }, { synRetransmits: 1 }, /^1 SYN sent again, ListenDrops \+5$/],
    [{}, { beyondMs: ms(1500), lagMs: ms(1200) }, /^its own lag p99 1\.20 s; /],
    [
      { busiestShare: 0.987, otherShare: 0.123 },
      { beyondMs: ms(1500) },
      /^processors 99% busy, 12% before it began; /,
    ],
  ])("with what was measured: %j %j", (measured, of, evidence) => {
    expect(judged(measured, of).cause?.evidence).toMatch(evidence);
  });
});

describe("the pace of clients", () => {
  const HOLD_MS = 3000;
  const START_MS = 500; // of one process

  /** Runs trials that measure what is given; returns their plans. */
  async function plansOf(...trialsOf: [count: number, of: Partial<ClientsResult>][]) {
    const plans: TrialPlan[] = [];
    let now: Partial<ClientsResult> = {};
    const harness = {
      processesFor: () => 1,
      async run(plan: TrialPlan): Promise<Measured> {
        plans.push(plan);
        const all = { clients: plan.clients, verified: plan.clients };
        const seen = { peak: plan.clients, pids: plan.clients, counted: plan.clients };
        return { ...well, clients: { ...clients, ...all, ...now }, log: { ...log, ...seen } };
      },
    };
    const options = { sloMs: 1000, holdMs: HOLD_MS };
    const trials = new Trials(harness as unknown as Harness, options, () => {});
    for (const [count, of] of trialsOf) {
      now = of;
      await trials.clients(count);
    }
    return plans.map(({ rampMs, workMs }) => ({ rampMs, workMs }));
  }
  const slow = { connectMs: ms(101) };

  test("is given, and the work lasts until after the last has come", async () => {
    expect(await plansOf([1000, {}], [20_000, {}])).toEqual([
      { rampMs: 200, workMs: HOLD_MS + START_MS + 200 },
      { rampMs: 4000, workMs: HOLD_MS + START_MS + 4000 },
    ]);
  });

  test("is halved for good when they waited for their greeting, down to a tenth", async () => {
    const ramps = (...of: Parameters<typeof plansOf>) =>
      plansOf(...of).then((plans) => plans.map(({ rampMs }) => rampMs));
    expect(await ramps([1000, slow], [1000, {}], [1000, {}])).toEqual([200, 400, 400]);
    expect(await ramps(...Array(6).fill([1000, slow]))).toEqual([200, 400, 800, 1600, 2000, 2000]);
  });

  test("stays, and the work is longer in a second trial, when they were not together", async () => {
    expect(await plansOf([1000, { togetherMs: 0 }])).toEqual([
      { rampMs: 200, workMs: HOLD_MS + START_MS + 200 },
      { rampMs: 200, workMs: 2 * (HOLD_MS + START_MS) + 200 },
    ]);
  });
});

test("a rate holds when 98 of 100 are answered in time, not when fewer are", () => {
  const open = { ...plan, workMs: 0, rate: 1000, durationMs: 2000, barrier: true };
  const booked = { log: { ...log, counted: 2000 } };
  expect(judged(booked, { verified: 1960, elapsedMs: 1999 }, open).held).toBe(true);
  const failures = [{ kind: "overdue", count: 40, firstClient: 0, detail: "" }] as const;
  expect(judged(booked, { verified: 1960, failures, elapsedMs: 1999 }, open).held).toBe(true);
  const late = judged({ ...booked, busiestShare: 1 }, { verified: 2000, elapsedMs: 2100 }, open);
  expect(late.problems).toEqual(["952 of 1,000 requests a second were replied to"]);
  expect(late.cause?.name).toBe("CPU");
});

describe("bounds", () => {
  const machine: Machine = {
    ...{ cpus: 2, pidMax: 32_768, threadsMax: 190_000, tasks: 200, pids: 200, cgroupPids: 50 },
    ...{ cgroupPidsMax: Number.POSITIVE_INFINITY, userProcessesMax: Number.POSITIVE_INFINITY },
    userTasks: 0,
    ...{ cgroupMemory: 2 ** 30, cgroupMemoryMax: Number.POSITIVE_INFINITY },
    ...{ filesMax: 20_000, somaxconn: 4096, ephemeralPorts: 28_232 },
    ...{ memoryTotal: 24 * 2 ** 30, memoryAvailable: 23 * 2 ** 30 },
  };
  const first = (changes: Partial<Machine>, maxClients?: number, maxMemoryShare = 0.7) =>
    boundsOf(
      { ...machine, ...changes },
      { maxClients, maxMemoryShare, processPer: "connection" },
    )[0];

  test("pid_max leaves 2,000 processes to others, and room for our own", () => {
    const bound = first({});
    expect(bound?.name).toBe("kernel.pid_max 32768");
    expect(bound?.clients).toBeGreaterThan(30_400);
    expect(bound?.clients).toBeLessThanOrEqual(32_768 - 200 - 2000);
  });

  test.each<[RegExp, Partial<Machine>]>([
    [/^kernel.threads-max 10000/, { threadsMax: 10_000 }],
    [/^pids.max 9000 of the cgroup/, { cgroupPidsMax: 9000 }],
    [/^the limit of 5000 processes a user/, { userProcessesMax: 5000 }],
    [/^memory, 70% of/, { memoryAvailable: 8 * 2 ** 30 }],
    [/^memory, 70% of 2,048 MB of the cgroup/, { cgroupMemoryMax: 2 * 2 ** 30 }],
    [/^16 client processes with 100 open files/, { filesMax: 100 }],
    [/^500 ephemeral ports/, { ephemeralPorts: 500 }],
  ])("%s comes first where it is the tightest", (name, changes) => {
    const bound = first(changes);
    expect(bound?.name).toMatch(name);
    expect(bound?.clients).toBeGreaterThan(0);
  });

  test("a small cgroup has room for front and client first: the OOM killer ends no trial", () => {
    const room = (megabytes: number) =>
      first({ cgroupMemory: 15 * 2 ** 20, cgroupMemoryMax: megabytes * 2 ** 20 })?.clients ?? 0;
    expect(room(86)).toBe(0);
    // Seventy per cent of 200 MB, less what is in use and 50 MB.
    expect(room(200)).toBe(Math.floor((75 * 2 ** 20) / 133_120));
  });

  test("what the user runs already is subtracted from the user's limit of processes", () => {
    const room = (userTasks: number) => first({ userProcessesMax: 9000, userTasks })?.clients ?? 0;
    expect(room(0) - room(1500)).toBe(1500);
    expect(room(9000)).toBe(0);
  });

  test("a problem of memory names the machine or the cgroup, whichever has less", () => {
    const need = { children: 1000, option: "--children", backlog: 1 };
    const said = (changes: Partial<Machine>) => problemsOfServer({ ...machine, ...changes }, need);
    expect(said({})).toEqual([]);
    expect(said({ cgroupMemoryMax: 2 * 2 ** 30 })).toEqual([]);
    expect(said({ cgroupMemoryMax: 1074 * 2 ** 20 })).toEqual([
      "1,000 children do not fit: 50 MB of available memory in the cgroup, whose limit is 1,074 MB, leave room for 393; raise it (systemd: MemoryMax=, docker: --memory) or lower --children",
    ]);
    expect(said({ memoryAvailable: 50 * 2 ** 20 })).toEqual([
      "1,000 children do not fit: 50 MB of available memory leave room for 393; free some or lower --children",
    ]);
    expect(said({ cgroupMemoryMax: 2 ** 29 })[0]).toMatch(/ 0 MB of .* leave room for 0;/);
  });

  test("with a process for each request, the keeper has a descriptor for each child and its client", () => {
    const options = { maxClients: undefined, maxMemoryShare: 0.7, processPer: "request" } as const;
    expect(boundsOf(machine, options)[0]).toEqual({
      name: "the keeper with 20000 open files",
      setting: "ulimit -n, systemd: LimitNOFILE=",
      clients: 9968,
    });
    const need = { children: 9969, option: "--children", backlog: 1 };
    expect(problemsOfServer(machine, need)).toEqual([]);
    expect(problemsOfServer(machine, { ...need, perRequest: true })).toEqual([
      "9,969 children do not fit: the limit of 20000 open files leaves room in the keeper for 9,968, with a connection each; raise it (ulimit -n, systemd: LimitNOFILE=) or lower --children",
    ]);
    expect(problemsOfServer(machine, { ...need, children: 9968, perRequest: true })).toEqual([]);
  });

  test("--max-clients is one bound, and no bound is below zero", () => {
    expect(first({}, 64)).toMatchObject({ name: "--max-clients 64", clients: 64 });
    expect(first({ pids: 32_000 })?.clients).toBe(0);
    expect(first({ memoryAvailable: 2 ** 30 })?.clients).toBe(0);
  });

  test("clients are split so that descriptors and ports of each process suffice", () => {
    expect(clientProcesses(1, machine)).toBe(1);
    expect(clientProcesses(10_001, machine)).toBe(2);
    expect(clientProcesses(30_000, machine)).toBe(3);
    expect(clientProcesses(300_000, machine)).toBe(16);
    expect(clientProcesses(100, { ...machine, filesMax: 84 })).toBe(5);
    expect(clientProcesses(1000, { ...machine, ephemeralPorts: 300 })).toBe(4);
  });
});

describe("plots", () => {
  const axis = (label: string, scale: "linear" | "log") => ({ label, unit: "ms", scale });

  test("have ticks at round numbers, labels with units, a mark for each point and the knee", () => {
    const points = [10, 100, 1000, 2000].map((x) => ({ x, y: x / 8 }));
    const svg = drawPlot({
      title: "a < b",
      ...{ x: axis("clients", "log"), y: axis("latency", "linear") },
      series: [{ name: "p99", points }],
      knee: points[2] ?? null,
    });
    expect(svg).toMatch(/^<svg [\s\S]*<\/svg>$/);
    expect(svg).toContain("a &#60; b");
    for (const text of ["clients, ms", "latency, ms", "knee: 1,000"]) expect(svg).toContain(text);
    for (const tick of ["10", "100", "1,000", "50", "250"])
      expect(svg).toContain(`>${tick}</text>`);
    expect(svg.match(/<circle class="m0"/g)).toHaveLength(4);
    expect(svg).not.toMatch(/NaN|Infinity/);
  });

  test.each([
    ["one point", [{ x: 7, y: 0 }]],
    [
      "the same twice",
      [
        { x: 7, y: 3 },
        { x: 7, y: 3 },
      ],
    ],
    [
      "very small ones",
      [
        { x: 0.001, y: 0.0001 },
        { x: 0.002, y: 0.0003 },
      ],
    ],
  ])("%s can be drawn", (_, points) => {
    for (const scale of ["linear", "log"] as const) {
      const [x, y] = [axis("x", scale), axis("y", scale)];
      expect(drawPlot({ title: "t", x, y, series: [{ name: "s", points }] })).not.toMatch(
        /NaN|Infinity|undefined/,
      );
    }
  });

  test("a dip in a curve that goes up and down is no knee", () => {
    const ys = [2.3, 0.3, 3.4, 3.4, 1.4, 1.7, 1.1, 1.2, 1.9];
    const ending = (last: number) => [...ys, last].map((y, i) => ({ x: 10 * 2 ** i, y }));
    const scales = { x: "log", y: "log" } as const;
    expect(findKnee(ending(4.5), "up", scales)).toBeNull();
    expect(findKnee(ending(4.7), "up", scales)?.x).toBe(20);
  });

  test("the knee is where a curve turns, and a line has none", () => {
    const linear = { x: "linear", y: "linear" } as const;
    const of = (f: (x: number) => number) => [0, 1, 2, 3, 4, 5, 6].map((x) => ({ x, y: f(x) }));
    expect(
      findKnee(
        of((x) => 2 * x),
        "up",
        linear,
      ),
    ).toBeNull();
    expect(
      findKnee(
        of((x) => Math.max(1, 10 * (x - 4))),
        "up",
        linear,
      )?.x,
    ).toBe(4);
    expect(
      findKnee(
        of((x) => Math.min(x, 2)),
        "down",
        linear,
      )?.x,
    ).toBe(2);
    expect(
      findKnee(
        of((x) => Math.min(x, 2)),
        "up",
        linear,
      ),
    ).toBeNull();
  });
});
