/** The audit of logs that the tests write line by line. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type AuditOptions, audit } from "../src/audit/audit";
import type { ClientResult } from "../src/client/load";
import { temporaryFolder } from "./support/folder";
import { at, births, completed, init, received, stop, T } from "./support/log";

function auditText(text: string | string[], options: Partial<AuditOptions> = {}) {
  const folder = temporaryFolder();
  const logs = [text].flat().map((part, i) => {
    const path = join(folder, `log.${i}`);
    writeFileSync(path, part, "latin1");
    return path;
  });
  return audit({ logs, atLeast: 0, all: false, ...options });
}
const runOf = (text: string | string[], options: Partial<AuditOptions> = {}) => {
  const result = auditText(text, options);
  return { ...result.runs[0], problems: result.problems };
};

describe("concurrency", () => {
  test("is the overlap of the intervals, with its duration and its average", () => {
    const log = [
      init + births(11, 12, 13),
      received(1, 11) + received(2, 12) + received(2.5, 13),
      completed(4, 12, 1) + received(4.5, 12) + completed(7, 11, 1),
      completed(7.5, 12, 2) + completed(8, 13, 1) + stop(4),
    ].join("");
    const result = runOf(log, { atLeast: 3 });
    expect(result).toMatchObject({
      peak: 3,
      pids: 3,
      peakHeldMs: 2500, // 4.5 to 7, longer than 2.5 to 4
      received: { count: 4 },
      completed: { count: 4 },
      problems: [],
    });
    // (1x1 + 2x0.5 + 3x1.5 + 2x0.5 + 3x2.5 + 2x0.5 + 1x0.5) / 7
    expect(result.average).toBeCloseTo(16.5 / 7, 6);
    expect(result.peakFromMs).toBe(Date.UTC(2026, 10, 22, 15, 44, 54, 500));
  });

  test("follows the order of the file, also where the times do not", () => {
    const log = init + births(11, 12) + received(2, 11) + received(1.9, 12);
    const result = runOf(log + completed(2.5, 11, 1) + completed(2.4, 12, 1) + stop(2));
    expect(result).toMatchObject({ peak: 2, peakHeldMs: 500, problems: [] });
  });

  test("leaves out a request whose end is unknown because the log could not be written", () => {
    const failed = init + births(11, 12) + received(1, 11); // its completion is not in the log
    const other = received(2, 12) + completed(3, 12, 1);
    const goesOn = received(5, 11) + completed(6, 11, 1);
    const expected = { peak: 1, problems: [], ledger: { unfinished: 1 } };
    expect(runOf(failed + other + goesOn + stop(2))).toMatchObject(expected);
    const leaves = at(7, "child pid 11 ended: exit 0, stopped");
    expect(runOf(failed + other + leaves + stop(1))).toMatchObject(expected);
    const curve: number[] = [];
    const onChange = (_: number, inFlight: number) => curve.push(inFlight);
    runOf(failed + other + goesOn + stop(2), { onChange });
    expect(Math.max(...curve)).toBe(1);
    // A killed child was at work until its death.
    const dies = at(7, "child pid 11 ended: signal 9, abnormal");
    expect(runOf(failed + other + dies + stop(1))).toMatchObject({ ...expected, peak: 2 });
  });

  test("lasts to the end of a log that ends in the middle, and its average is never above its peak", () => {
    const open = init + births(11) + received(1, 11) + at(8, "pool: all is well");
    expect(runOf(open)).toMatchObject({ peak: 1, peakHeldMs: 7000, average: 1 });
    const dies = init + births(11, 12) + received(1, 11) + received(1, 12) + completed(2, 11, 1);
    const { average = 0 } = runOf(dies + at(8, "child pid 12 ended: signal 9, abnormal") + stop(1));
    expect(average).toBeCloseTo((2 * 1 + 1 * 6) / 7, 6);
  });

  test("is also measured when the clock is set back", () => {
    const back = (record: string) => record.replace(" 16:", " 15:");
    const log = init + births(11, 12) + received(1, 11) + back(received(2, 12));
    const rest = back(completed(5, 11, 1)) + back(completed(6, 12, 1)) + back(stop(2));
    expect(runOf(log + rest)).toMatchObject({ peak: 2, peakHeldMs: 3000, problems: [] });
  });

  test("counts only the selected messages, if some are", () => {
    const log = init + births(11, 12) + received(1, 11, "la 1") + received(2, 12, "lo 1");
    const rest = completed(3, 11, 1, "la 1") + completed(4, 12, 1, "lo 1") + stop(2);
    expect(runOf(log + rest, { match: "la" })).toMatchObject({ peak: 1, received: { count: 1 } });
    expect(runOf(log + rest, { match: "l" })).toMatchObject({ peak: 2 });
  });

  test("is not that of messages that are not selected, also when they end in between", () => {
    const log = init + births(11, 12) + received(1, 11, "la 1") + received(2, 12, "lo 1");
    const rest =
      completed(3, 12, 1, "lo 1") + received(4, 12, "lo 2") + completed(5, 11, 1, "la 1");
    const dies = at(6, "child pid 12 ended: signal 9, abnormal") + stop(2);
    const inFlight: number[] = [];
    const onChange = (_: number, now: number) => inFlight.push(now);
    const result = runOf(log + rest + dies, { match: "la", onChange });
    expect(result).toMatchObject({ peak: 1, peakHeldMs: 4000, average: 1, averageOverMs: 4000 });
    expect(inFlight).toEqual([1, 0, 0]);
  });

  test("of no message at all, since none begins with the prefix, is a problem", () => {
    const log = init + births(11) + received(1, 11) + completed(2, 11, 1) + stop(1);
    expect(auditText(log, { match: "lu" }).problems).toEqual([
      "log: no message begins with lu (--match)",
    ]);
  });

  test("below the required peak is a problem", () => {
    const log = init + births(11) + received(1, 11) + completed(2, 11, 1) + stop(1);
    expect(auditText(log, { atLeast: 2 })).toMatchObject({
      ok: false,
      problems: ["log: peak 1 < 2"],
    });
  });
});

describe("the ledger", () => {
  const one = init + births(11) + received(1, 11) + completed(2, 11, 1);

  test("balances when a counted request was completed", () => {
    expect(auditText(one + stop(1))).toMatchObject({ ok: true, runsInLog: 1 });
  });

  test("does not balance when more was counted than completed", () => {
    expect(runOf(one + stop(2)).problems).toEqual([
      "counted 2 requests when only 1 completed records were there",
    ]);
  });

  test("does not balance when a completed request was not counted and no child died", () => {
    expect(runOf(one + stop(0)).problems[0]).toMatch(/1 requests completed, but only 0 counted/);
    const died = at(3, "child pid 11 ended: signal 9, abnormal");
    expect(runOf(one + died + stop(0)).problems).toEqual([]);
    const left = at(3, "child pid 11 ended: exit 0, stopped");
    expect(runOf(one + left + stop(0)).problems).not.toEqual([]);
  });

  test("retracts what was completed but not acknowledged, once, and counts on from there", () => {
    const takenBack = at(3, 'not acknowledged: req "lalala 1" on 11 total reqs 1');
    expect(runOf(one + takenBack + stop(0))).toMatchObject({
      problems: [],
      ledger: { completed: 1, counted: 0, takenBack: 1 },
    });
    const again = received(4, 11) + completed(5, 11, 1);
    expect(runOf(one + takenBack + again + stop(1)).problems).toEqual([]);
    expect(runOf(one + takenBack + stop(1)).problems).toEqual([
      "counted 1 requests when only 0 completed records were there",
    ]);
    // The disk lost the record: there is nothing to retract.
    expect(runOf(takenBack + stop(0))).toMatchObject({ problems: [], ledger: { takenBack: 0 } });
    expect(runOf(one + takenBack + takenBack + stop(0))?.ledger?.takenBack).toBe(1);
  });

  test("notices a record that is missing or doubled", () => {
    const two = received(3, 11) + completed(4, 11, 3);
    expect(runOf(one + two + stop(2)).problems).toEqual([
      "1 completed records do not continue their child's count",
    ]);
    expect(runOf(one + completed(2, 11, 1) + stop(2)).problems[0]).toMatch(/never received/);
  });

  test("counts requests that were received and not completed: by a death, by the next request, at the end", () => {
    const log = init + births(11, 12, 13) + received(1, 11) + received(1, 12) + received(1, 13);
    const rest =
      at(2, "child pid 11 ended: signal 9, abnormal") + received(3, 12) + completed(4, 12, 1);
    expect(runOf(log + rest + stop(1)).ledger).toMatchObject({ unfinished: 3, died: 1 });
  });

  test("counts ends by order and abnormal ones, also of a child that is not known", () => {
    const ends = at(3, "child pid 11 ended: exit 0, stopped");
    const unknown = at(3, "child pid 99 ended: signal 9, abnormal");
    expect(runOf(one + ends + unknown + stop(1))).toMatchObject({
      problems: [],
      ledger: { left: 1, died: 1, unfinished: 0 },
    });
  });

  test("names ten problems at most", () => {
    const pids = Array.from({ length: 12 }, (_, i) => 11 + i);
    const unasked = pids.map((pid) => completed(2, pid, 1)).join("");
    expect(runOf(init + births(...pids) + unasked + stop(12)).problems).toHaveLength(10);
  });

  test("of a run whose start is not in the log has no totals to compare", () => {
    expect(runOf(completed(2, 11, 5) + stop(50))).toMatchObject({
      problems: [],
      completed: { count: 1 },
      ledger: { completed: 1, counted: 50 },
    });
    expect(runOf(completed(2, 11, 5) + stop(0)).problems).toEqual([]);
  });

  test("begins each child's count with 1", () => {
    const log = init + births(11) + received(1, 11) + completed(2, 11, 2) + stop(1);
    expect(runOf(log).problems).toEqual([
      "1 completed records do not continue their child's count",
    ]);
  });

  test("counts refusals by their kind", () => {
    const log = init + births(11) + at(1, 'authorization error: user "ro\\"ot" on 11');
    const rest = at(1, "protocol error: too-long on 11") + at(1, "protocol error: too-long on 11");
    expect(runOf(log + rest + stop(0)).ledger?.refused).toEqual({ unauthorized: 1, "too-long": 2 });
    const odd = at(1, "protocol error: constructor on 11");
    expect(runOf(log + odd + stop(0)).ledger?.refused).toEqual({ unauthorized: 1, constructor: 1 });
  });
});

describe("lines that are no records", () => {
  const begin = init + births(11, 12) + received(1, 11);
  const killed = at(2, "child pid 11 ended: signal 9, abnormal");

  test("a torn head and the record behind it are both read", () => {
    const head = received(1, 12).slice(0, 50);
    const result = runOf(begin + head + killed + received(3, 12) + completed(4, 12, 1) + stop(1));
    expect(result).toMatchObject({
      problems: [],
      ledger: { tornHeads: 1, died: 1, foreignLines: 0 },
    });
  });

  test("more torn heads than children died are damage", () => {
    const head = received(1, 12).slice(0, 40);
    const result = runOf(begin + head + completed(2, 11, 1) + stop(1));
    expect(result.problems).toEqual(["1 records are torn, but only 0 children died"]);
  });

  test("a torn tail at the end of the file is torn, even when it looks whole", () => {
    const result = runOf(begin + completed(2, 11, 1).slice(0, -1));
    expect(result).toMatchObject({
      ended: false,
      problems: [],
      ledger: { tornHeads: 1, completed: 0 },
    });
  });

  test("a torn head that its own writer closed is neither a record nor a foreign line", () => {
    const head = `${received(2, 12).slice(0, 45)}<torn>\n`;
    const result = runOf(begin + head + completed(3, 11, 1) + stop(1));
    expect(result).toMatchObject({ problems: [], ledger: { shortWrites: 1, tornHeads: 0 } });
  });

  test("a message cannot forge a record, not even from within a torn head", () => {
    const forged = `${T}5.000000000 -- total requests 7`;
    const quoted = runOf(
      begin + received(2, 12, forged) + completed(3, 12, 1, forged) + completed(3, 11, 1) + stop(2),
    );
    expect(quoted).toMatchObject({ problems: [], ledger: { counted: 2 } });
    const torn = received(2, 12, forged).slice(0, -'" from user arijort\n'.length);
    expect(runOf(`${begin + torn}<torn>\n${completed(3, 11, 1)}${stop(1)}`)).toMatchObject({
      problems: [],
      ledger: { counted: 1, shortWrites: 1 },
    });
    const result = runOf(begin + torn + killed + stop(0));
    expect(result).toMatchObject({ problems: [], ledger: { counted: 0, tornHeads: 1, died: 1 } });
  });

  test("a foreign line is named with its offset", () => {
    const result = runOf(`${begin}hello\n${completed(2, 11, 1)}${stop(1)}`);
    expect(result.problems).toEqual([`no record at offset ${begin.length}`]);
  });

  test("three foreign lines are named; of more, also their number", () => {
    const problemsOf = (lines: number) =>
      runOf(begin + "hello\n".repeat(lines) + completed(2, 11, 1) + stop(1)).problems;
    expect(problemsOf(3)).toHaveLength(3);
    expect(problemsOf(5)).toHaveLength(4);
    expect(problemsOf(5).at(-1)).toBe("5 lines are no records");
  });

  test("a record torn in its last word is no record, whatever follows", () => {
    const named = received(2, 12).slice(0, -5); // … from user ari
    const closed = runOf(`${begin + named}<torn>\n${completed(3, 11, 1)}${stop(1)}`);
    expect(closed).toMatchObject({ problems: [], ledger: { shortWrites: 1, received: 1 } });
    const result = runOf(begin + named + killed + stop(0));
    expect(result).toMatchObject({ problems: [], ledger: { tornHeads: 1, received: 1, died: 1 } });
    const pool = at(2, "pool: all children are of gen").slice(0, -1);
    expect(runOf(begin + pool + completed(3, 11, 1) + killed + stop(1)).ledger).toMatchObject({
      tornHeads: 1,
      completed: 1,
    });
  });

  test("a torn head that a marker closes after another writer's record is no sign of a kill", () => {
    const head = received(2, 12).slice(0, 45);
    const result = runOf(`${begin + head + completed(3, 11, 1)}<torn>\n${stop(1)}`);
    expect(result).toMatchObject({
      problems: [],
      ledger: { tornHeads: 1, died: 0, shortWrites: 0 },
    });
  });

  test("a torn tail is no problem, even of a run that has ended, or when the next run begins on its line", () => {
    const whole = begin + completed(2, 11, 1) + stop(1);
    for (const tail of [received(2, 12).slice(0, 45), "hello", "\0".repeat(5000), "2026\0\0"]) {
      expect(auditText(whole + tail)).toMatchObject({ ok: true, damagedBefore: 0 });
      const next = auditText(whole + tail + whole, { all: true });
      expect(next.problems).toEqual([]);
      const tornTail = { kind: "tornTail", harmless: true, count: 1, bytes: tail.length };
      expect(next.runs.map(({ ledger }) => ledger.damage)).toMatchObject([[tornTail], []]);
    }
  });

  test("NUL bytes are damage where something follows them", () => {
    const nul = "\0".repeat(500);
    for (const [text, problem] of [
      [`${begin + nul}\n`, begin.length],
      [begin + nul + completed(2, 11, 1), begin.length],
      [`${begin + nul}2026.11`, begin.length],
      [begin + nul + received(2, 12).slice(50), begin.length],
      [begin.slice(0, -30) + nul + completed(2, 11, 1), begin.lastIndexOf(T)],
    ] as const) {
      const { problems, ledger } = runOf(text);
      expect(problems[0]).toBe(`no record at offset ${problem}`);
      expect(ledger?.damage).toMatchObject([{ kind: "nulRun", harmless: false, count: 1 }]);
    }
  });

  test("each kind of damage is named with its first ten offsets", () => {
    const foreign = "hello\n".repeat(12);
    const half = `${received(2, 12).slice(0, 60)}\n`;
    const result = runOf(begin + foreign + half + completed(3, 11, 1) + stop(1));
    const [lines, halves, ...others] = result.ledger?.damage ?? [];
    const [log] = lines?.places.map((place) => place.log) ?? [];
    expect(lines).toEqual({
      kind: "foreignLine",
      harmless: false,
      count: 12,
      bytes: foreign.length,
      places: Array.from({ length: 10 }, (_, i) => ({
        log,
        offset: begin.length + i * 6,
        bytes: 6,
      })),
    });
    const offset = begin.length + foreign.length;
    expect(halves).toMatchObject({ kind: "halfRecord", places: [{ offset, bytes: half.length }] });
    expect(others).toEqual([]);
    expect(result.ledger?.foreignLines).toBe(13);
    expect(result.problems.at(-1)).toBe("13 lines are no records");
  });

  test("damage in a run that is not audited is reported", () => {
    const whole = init + births(11) + stop(0);
    expect(auditText(`${whole}hello\n${whole}`)).toMatchObject({ ok: true, damagedBefore: 1 });
  });

  test("without any record there is nothing to judge", () => {
    for (const text of ["hello\n", "\0".repeat(100), received(1, 11).slice(0, -1)])
      expect(() => auditText(text)).toThrow("no record of a server in it");
  });

  test.each([
    `${T}1.00000000x -- Server init`,
    `${T}1.000000000 -- Server initial`,
    `${T}1.000000000 -- completed req "m on 11 total reqs 1`,
    `${T}1.000000000 -- server 11 recvd message "m" from user `,
    `${T}1.000000000 -- child pid 11 ended: well`,
    `${T}1.000000000 -- total requests `,
    `${T}1.000000000 -- completed req "\u0001" on 11 total reqs 1`,
    `${T}1.000000000 -- completed req "\\\u0001" on 11 total reqs 1`,
    "",
  ])("%s", (line) => {
    expect(runOf(`${begin}${line}\n${completed(2, 11, 1)}${stop(1)}`).ledger?.foreignLines).toBe(1);
  });
});

describe("runs", () => {
  const whole = init + births(11) + received(1, 11) + completed(2, 11, 1) + stop(1);
  const broken = init + births(11) + received(1, 11) + completed(2, 11, 1) + stop(5);

  test("the last one is audited, or all of them", () => {
    expect(auditText(broken + whole)).toMatchObject({ ok: true, runsInLog: 2 });
    expect(auditText(broken + whole, { all: true })).toMatchObject({ ok: false, runsInLog: 2 });
    expect(auditText(broken + whole, { all: true }).runs).toHaveLength(2);
  });

  test("a run that continues in rotated files is one run", () => {
    const parts = [whole.slice(0, 400), whole.slice(400)];
    const cut = whole.indexOf("\n", 300) + 1;
    expect(auditText([whole.slice(0, cut), whole.slice(cut)])).toMatchObject({
      ok: true,
      runsInLog: 1,
    });
    expect(parts.join("")).toBe(whole);
  });

  test("a run whose start is in another file is checked as far as it goes", () => {
    const cut = whole.indexOf("\n", 300) + 1;
    expect(auditText(whole.slice(cut))).toMatchObject({
      ok: true,
      runs: [{ server: 0, begun: false, ended: true }],
    });
    const jumps = received(3, 11) + completed(4, 11, 7) + received(5, 11) + completed(6, 11, 9);
    expect(runOf(jumps + stop(9)).problems).toEqual([
      "1 completed records do not continue their child's count",
    ]);
  });

  test("a run whose files are not named the oldest first cannot be judged", () => {
    const cut = whole.indexOf("\n", 300) + 1;
    const [older, newer] = [whole.slice(0, cut).replaceAll(" 16:", " 15:"), whole.slice(cut)];
    expect(auditText([older, newer]).ok).toBe(true);
    expect(() => auditText([newer, older])).toThrow("oldest first");
  });

  test("a run that begins after damage is the first one", () => {
    expect(auditText(`what is this\n${whole}`, { all: true })).toMatchObject({
      ...{ ok: true, runsInLog: 1, damagedBefore: 1 },
      runs: [{ server: 9, begun: true }],
    });
  });

  test("a log is read in bounded time, whatever is in it", () => {
    expect(auditText(whole + "a b c\n".repeat(400_000)).ok).toBe(false);
  });
});

describe("the client's side", () => {
  const log =
    init +
    births(11, 12) +
    received(1, 11, "la 1") +
    received(1, 12, "la 2") +
    completed(2, 11, 1, "la 1") +
    completed(2, 12, 1, "la 2") +
    stop(2);
  const client = (verified: number, sent = verified, peak = 2) =>
    ({
      message: "arijort:la",
      clients: 2,
      firstConnectMs: 0,
      requests: { verified, sent, failed: sent - verified },
      inFlight: { peak, pids: peak, fromMs: 0, heldMs: 0 },
    }) as unknown as ClientResult;

  test("agrees with the log", () => {
    expect(auditText(log, { clients: [client(2)], atLeast: 2 }).problems).toEqual([]);
  });

  test("is distinguished from other clients that send nearly the same", () => {
    const others = [
      received(3, 11, "la 1 and more") + completed(4, 11, 2, "la 1 and more"),
      received(5, 11, "la x1") + completed(5, 11, 3, "la x1"),
      received(5, 11, "la 3").replace("arijort", "foobar") + completed(6, 11, 4, "la 3"),
      received(6, 11, "la 3").replace("arijort", "arijorT") + completed(6, 11, 5, "la 3"),
      received(6, 11, "la 3").replace("arijort", "arijort2") + completed(6, 11, 6, "la 3"),
    ];
    const more = log.replace(stop(2), others.join("") + stop(7));
    expect(auditText(more, { clients: [client(2)] }).problems).toEqual([]);
    expect(auditText(more, { clients: [client(3)] }).problems).toEqual([
      "client: 3 replies verified, but the log has 2 of its requests completed",
    ]);
  });

  test("has numbers of clients and of requests", () => {
    const numbered = log.replaceAll('"la 1"', '"la 12"').replaceAll('"la 2"', '"la 3.45"');
    expect(auditText(numbered, { clients: [client(2)] }).problems).toEqual([]);
  });

  test("is reported, and says whether its peak covers that of the log", () => {
    const peakMs = Date.UTC(2026, 10, 22, 15, 44, 51); // for one second
    const reported = (fromMs: number, heldMs: number) => {
      const inFlight = { peak: 2, pids: 2, fromMs: peakMs + fromMs, heldMs };
      return auditText(log, { clients: [{ ...client(2), inFlight } as ClientResult] }).client;
    };
    expect(reported(0, 1000)).toEqual({
      ...{ clients: 2, verified: 2, peak: 2, pids: 2, heldMs: 1000 },
      containsLogPeak: true,
    });
    const covers = (fromMs: number, heldMs: number) => reported(fromMs, heldMs)?.containsLogPeak;
    expect([covers(1, 998), covers(-500, 1600)]).toEqual([true, true]);
    expect([covers(2, 1500), covers(-1, 999), covers(1, 997), covers(0, 998)]).toEqual([
      ...[false, false, false, false],
    ]);
    expect(auditText(log).client).toBeNull();
  });

  test("is distinguished from an earlier run of the same client by its time", () => {
    const later = received(5, 11, "la 1") + completed(6, 11, 2, "la 1");
    const twice = log.replace(stop(2), later + stop(3));
    const [firstConnectMs, lastReplyMs] = [1, 2].map((s) => Date.UTC(2026, 10, 22, 15, 44, 50 + s));
    const one = { ...client(2), firstConnectMs, lastReplyMs } as ClientResult;
    expect(auditText(twice, { clients: [one] }).problems).toEqual([]);
  });

  test("has its message escaped as the log has it", () => {
    const odd = log.replaceAll('"la ', '"l\\"\\\\\\x01 ');
    const sent = { ...client(2), message: 'arijort:l"\\\x01' } as ClientResult;
    expect(auditText(odd, { clients: [sent] }).problems).toEqual([]);
    expect(auditText(odd.replaceAll('l\\"', 'k\\"'), { clients: [sent] }).problems).not.toEqual([]);
  });

  test("names the side that differs", () => {
    expect(auditText(log, { clients: [client(3)] }).problems).toEqual([
      "client: 3 replies verified, but the server counted 2",
      "client: 3 replies verified, but the log has 2 of its requests completed",
    ]);
    expect(auditText(log, { clients: [client(2, 2, 1)], atLeast: 2 }).problems).toEqual([
      "client: peak 1 < 2",
      "client: in 1 processes < 2",
    ]);
  });
});

describe("several runs of a client with the same message", () => {
  const second = (s: number) => Date.UTC(2026, 10, 22, 15, 44, 50) + s * 1000;
  /** One client of one request, in flight from `from` to `to`. */
  const client = (from: number, to: number, more: object = {}) =>
    ({
      ...{ message: "arijort:la", clients: 1, address: "127.0.0.1" },
      ...{ firstConnectMs: second(from), lastReplyMs: second(to) },
      requests: { verified: 1, sent: 1, failed: 0 },
      inFlight: { peak: 1, pids: 1, fromMs: second(from), heldMs: (to - from) * 1000 },
      ...more,
    }) as unknown as ClientResult;
  const sent = (from: number, to: number, pid: number, count = 1, message = "la 1") =>
    [received(from, pid, message), completed(to, pid, count, message)] as const;
  const logOf = (...records: string[]) =>
    init + births(11, 12) + records.join("") + stop(records.length / 2);

  test("one after the other are told apart, also if the second begins at once", () => {
    const log = logOf(...sent(1, 2, 11), ...sent(2.1, 3, 11, 2));
    for (const one of [client(1, 2), client(2.1, 3)])
      expect(auditText(log, { clients: [one] })).toMatchObject({
        problems: [],
        runs: [{ received: { count: 1 } }],
      });
  });

  const [a, aEnd] = sent(1, 3, 11);
  const [b, bEnd] = sent(2, 4, 12);
  const together = logOf(a, b, aEnd, bEnd);

  test("at the same time are one side, if the results of all are given", () => {
    const result = auditText(together, { clients: [client(1, 3), client(2, 4)], atLeast: 2 });
    expect(result).toMatchObject({
      problems: [],
      client: { clients: 2, verified: 2, peak: 2, pids: 2, heldMs: 1000, containsLogPeak: true },
    });
    const other = auditText(together, { clients: [client(1, 3), client(3.5, 4)], atLeast: 2 });
    expect(other.problems).toContain("client: peak 1 < 2");
  });
});

describe("local time that changes while the server runs", () => {
  const line = (time: string, text: string) => `${time.padEnd(29, "0")} -- ${text}\n`;
  const begin = (time: string, offset: string) =>
    line(time, "Server init") +
    line(time, `front 9 at 127.0.0.1:31337, kilofork 0.1.0, UTC${offset}`) +
    line(time, "have child pid 11") +
    line(time, "have child pid 12");
  const got = (time: string, pid: number, message: string) =>
    line(time, `server ${pid} recvd message "${message}" from user arijort`);
  const did = (time: string, pid: number, count: number, message: string) =>
    line(time, `completed req "${message}" on ${pid} total reqs ${count}`);
  const end = (time: string, total: number) =>
    line(time, `total requests ${total}`) + line(time, "Server stop");
  const client = (from: string, to: string, verified: number, more: Partial<ClientResult> = {}) =>
    ({
      ...{
        message: "arijort:la",
        clients: 2,
        inFlight: { peak: 2, pids: 2, fromMs: 0, heldMs: 0 },
      },
      requests: { verified, sent: verified, failed: 0 },
      ...{ firstConnectMs: Date.parse(from), lastReplyMs: Date.parse(to) },
      ...more,
    }) as unknown as ClientResult;

  test("forward: a client's requests are found by UTC, and durations have no jump", () => {
    const log = [
      begin("2026.03.29 01:59:50.", "+01:00") + got("2026.03.29 01:59:59.", 11, "la 1"),
      line("2026.03.29 03:00:00.2", "local time is UTC+02:00") +
        got("2026.03.29 03:00:00.2", 12, "la 2"),
      // It has read the clock before the change.
      did("2026.03.29 01:59:59.9", 11, 1, "la 1") + did("2026.03.29 03:00:02.", 12, 1, "la 2"),
      end("2026.03.29 03:00:03.", 2),
    ].join("");
    const result = runOf(log, {
      clients: [client("2026-03-29T00:59:59Z", "2026-03-29T01:00:02Z", 2)],
    });
    expect(result).toMatchObject({
      ...{ problems: [], peak: 2, averageOverMs: 3000 },
      completed: {
        firstMs: Date.parse("2026-03-29T00:59:59.9Z"),
        lastMs: Date.parse("2026-03-29T01:00:02Z"),
      },
      ...{ utcOffsetMinutes: 60, utcOffsets: [{ minutes: 60 }, { minutes: 120 }] },
    });
  });

  const summer = begin("2026.10.25 02:30:00.", "+02:00") + got("2026.10.25 02:59:59.", 11, "la 1");
  const winter =
    line("2026.10.25 02:00:00.1", "local time is UTC+01:00") +
    got("2026.10.25 02:00:00.1", 12, "la 2") +
    did("2026.10.25 02:59:59.9", 11, 1, "la 1") +
    line("2026.10.25 02:00:01.", "local time is UTC+01:00"); // said by another process, too
  const rest = did("2026.10.25 02:00:02.", 12, 1, "la 2") + end("2026.10.25 02:59:59.5", 2);

  test("back: the hour that comes twice is two hours", () => {
    const of = client("2026-10-25T00:59:59Z", "2026-10-25T01:00:02Z", 2);
    expect(runOf(summer + winter + rest, { clients: [of] })).toMatchObject({
      ...{
        problems: [],
        peak: 2,
        averageOverMs: 3000,
        startedMs: Date.parse("2026-10-25T00:30:00Z"),
      },
    });
  });

  test("back: rotated files over that hour are in order, and also with a server that starts in it", () => {
    expect(auditText([summer + winter, rest]).problems).toEqual([]);
    const next = begin("2026.10.25 02:10:00.", "+01:00") + end("2026.10.25 02:20:00.", 0);
    expect(auditText([summer + winter + rest, next])).toMatchObject({ ok: true, runsInLog: 2 });
    expect(() => auditText([next, summer + winter + rest])).toThrow("oldest first");
  });

  test("offsets may have seconds; another text is no record", () => {
    const log = begin("2026.10.25 02:30:00.", "-00:01:30") + end("2026.10.25 02:40:00.", 0);
    expect(runOf(log)).toMatchObject({ problems: [], utcOffsetMinutes: -1.5 });
    for (const text of ["local time is UTC+1:00", "local time is UTC+01:00 ", "local time is CET"])
      expect(runOf(log + line("2026.10.25 02:41:00.", text)).problems.length).toBe(1);
  });

  test("a clock that is set while the client runs does not hide its requests", () => {
    const log = [
      begin("2026.11.22 10:00:00.", "+00:00"),
      got("2026.11.22 10:00:01.", 11, "la 1") + did("2026.11.22 10:00:02.", 11, 1, "la 1"),
      got("2026.11.22 10:00:13.", 12, "la 2") + did("2026.11.22 10:00:14.", 12, 1, "la 2"),
      end("2026.11.22 10:00:20.", 2),
    ].join("");
    // The client maps its monotonic times to the clock as it was at its start, or at its end.
    for (const [from, to] of [
      ["10:00:01", "10:00:04"],
      ["10:00:11", "10:00:14"],
    ])
      for (const [clockStepMs, lost] of [
        [10_000, 0],
        [0, 1],
      ])
        expect(
          runOf(log, {
            clients: [
              client(`2026-11-22T${from}Z`, `2026-11-22T${to}Z`, 2, {
                clockStepMs,
              } as object),
            ],
          }).problems.length,
        ).toBe(lost);
  });

  test("a clock that was set back before the client began does not make its result older", () => {
    const log = [
      begin("2026.11.22 12:00:00.", "+00:00"),
      got("2026.11.22 10:00:01.", 11, "la 1") + did("2026.11.22 10:00:02.", 11, 1, "la 1"),
      end("2026.11.22 10:00:20.", 1),
    ].join("");
    const of = client("2026-11-22T10:00:01Z", "2026-11-22T10:00:02Z", 1);
    expect(runOf(log, { clients: [of] }).problems).toEqual([]);
    const older = client("2026-11-22T09:00:01Z", "2026-11-22T09:00:02Z", 1);
    expect(() => runOf(log, { clients: [older] })).toThrow("is older than the last run");
  });

  test("a result of another run is recognized by the processes that greeted the client", () => {
    const log = [
      begin("2026.11.22 10:00:00.", "+00:00"),
      got("2026.11.22 10:00:01.", 11, "la 1") + did("2026.11.22 10:00:02.", 11, 1, "la 1"),
      end("2026.11.22 10:00:20.", 1),
    ].join("");
    const greetedBy = (...firstPids: number[]) =>
      client("2026-11-22T10:00:01Z", "2026-11-22T10:00:02Z", 1, {
        greeted: { clients: 1, pids: firstPids.length, firstPids },
      });
    expect(runOf(log, { clients: [greetedBy(7, 12)] }).problems).toEqual([]);
    expect(() => runOf(log, { clients: [greetedBy(7, 8)] })).toThrow(
      "not of the last run in the log",
    );
  });
});
