/** Repair writes a copy of a damaged log with its whole records only, and leaves the log alone. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { type RepairResult, repair } from "../src/repair/repair";
import { temporaryFolder } from "./support/cleanup";
import { Command, run } from "./support/command";
import { at, births, completed, init, received, stop, T } from "./support/log";
import { Random } from "./support/random";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { hasStrace } from "./support/strace";
import { until } from "./support/wait";

/** The state of a file that must not change. */
function fingerprint(path: string) {
  const { mtimeMs, ctimeMs, size, mode } = statSync(path);
  const hash = createHash("sha256").update(readFileSync(path)).digest("hex");
  return { mtimeMs, ctimeMs, size, mode, hash };
}

/** Repairs a log, and checks what holds for every repair. */
function repairFile(log: string): RepairResult & { readonly copy: string } {
  const out = join(temporaryFolder(), "copy");
  const before = fingerprint(log);
  const result = repair({ log, out, rejected: undefined });
  expect(fingerprint(log)).toEqual(before);
  const copy = readFileSync(out, "latin1");
  expect(copy.length).toBe(result.kept.bytes);
  expect(result.kept.bytes + result.leftOut.bytes).toBe(before.size);
  expect(copy.split("\n").length - 1).toBe(result.kept.records);
  if (result.kept.records > 0) {
    const { runs, damagedBefore } = audit({ logs: [out], atLeast: 0, all: true });
    expect(runs.flatMap(({ ledger }) => ledger.damage)).toEqual([]);
    expect(damagedBefore).toBe(0);
  }
  return { ...result, copy };
}

function repairText(text: string) {
  const log = join(temporaryFolder(), "log");
  writeFileSync(log, text, "latin1");
  return repairFile(log);
}

const places = ({ leftOut }: RepairResult) =>
  leftOut.damage.flatMap(({ kind, places }) => places.map(({ offset }) => `${kind} at ${offset}`));

const forged = `${T}5.000000000 -- pool: x`;
const records = [
  ...(init + births(11, 12)).split(/(?<=\n)/),
  received(1, 11),
  received(1, 12, 'a -- \\"b\\" \\x00\\\\'),
  completed(2, 11, 1),
  received(2, 11, forged),
  completed(3, 11, 2, forged),
  completed(3, 12, 1, 'a -- \\"b\\" \\x00\\\\'),
  ...stop(3).split(/(?<=\n)/),
];
const whole = records.join("");
const head = received(1, 12).slice(0, 60);
const nul = "\0".repeat(4096);

describe("every kind of damage", () => {
  const kinds = [
    ["a torn head", "tornHead", head],
    ["a head that its writer closed", "shortWrite", `${head}<torn>\n`],
    ["a marker alone", "shortWrite", "<torn>\n"],
    ["NUL bytes", "nulRun", nul],
    ["a line of NUL bytes", "nulRun", `${nul}\n`],
    ["NUL bytes behind a head", "nulRun", `${head + nul}\n`],
    ["NUL bytes between two heads", "nulRun", head + nul + head],
    ["half a record", "halfRecord", `${head}\n`],
    ["a foreign line", "foreignLine", "hello\n"],
    ["foreign bytes", "foreignLine", "hello"],
    ["an empty line", "foreignLine", "\n"],
    ["the end of a record", "foreignLine", `${head.slice(30)}\n`],
    ["bytes that are no UTF-8", "foreignLine", `${"\u00ff".repeat(100)}\n`],
  ] as const;

  test.each(kinds)("%s in the middle", (_, kind, bytes) => {
    for (let i = 1; i < records.length; i++) {
      const before = records.slice(0, i).join("");
      const result = repairText(before + bytes + records.slice(i).join(""));
      expect(result.copy).toBe(whole);
      expect(places(result)).toEqual([`${kind} at ${before.length}`]);
      expect(result.leftOut.bytes).toBe(bytes.length);
    }
  });

  test.each(kinds)("%s at the beginning and at the end", (_, kind, bytes) => {
    const holdsDataBehindNul = /\0[^\0\n]/.test(bytes);
    const open = !bytes.endsWith("\n") && !holdsDataBehindNul;
    const expected = open ? "tornTail" : kind;
    const first = repairText(bytes + whole);
    expect(first.copy).toBe(whole);
    expect(places(first)).toEqual([`${expected} at 0`]);
    const last = repairText(whole + bytes);
    expect(last.copy).toBe(whole);
    expect(places(last)).toEqual([`${expected} at ${whole.length}`]);
  });

  test("several in a row", () => {
    const lines = kinds.filter(([, , bytes]) => bytes.endsWith("\n"));
    const all = lines.map(([, , bytes]) => bytes).join("");
    const middle = records.slice(0, 5).join("");
    for (const [, kind, open] of kinds.filter(([, , bytes]) => !bytes.endsWith("\n"))) {
      const result = repairText(middle + all + open + records.slice(5).join(""));
      expect(result.copy).toBe(whole);
      expect(places(result)).toContain(`${kind} at ${middle.length + all.length}`);
      expect(places(result)).toHaveLength(lines.length + 1);
    }
    expect(repairText(head.repeat(5) + whole).copy).toBe(whole);
    expect(repairText(whole + head + head).copy).toBe(whole);
  });

  test("a record without its newline is left out; the next is kept", () => {
    for (let i = 1; i < records.length; i++)
      for (const instead of ["", "\0", "\r", "x"]) {
        const lines = [...records];
        lines[i - 1] = lines[i - 1]?.slice(0, -1) + instead;
        expect(repairText(lines.join("")).copy).toBe(whole.replace(records[i - 1] ?? "", ""));
      }
  });

  test("across the ends of the buffer", () => {
    const BUFFER = 1 << 20;
    const filler = received(1, 11, "m".repeat(9000));
    const most = filler.repeat(BUFFER / filler.length);
    for (const [, , bytes] of kinds)
      for (const into of [0, 1, bytes.length >> 1, bytes.length, bytes.length + 30]) {
        const room = BUFFER - into - most.length;
        const before = most + received(1, 11, "m".repeat(room - received(1, 11, "").length));
        expect(before.length).toBe(BUFFER - into);
        expect(repairText(before + bytes + filler).copy).toBe(before + filler);
      }
  });

  test("longer than the buffer", () => {
    for (const length of [(1 << 19) - 40, 1 << 19, (1 << 20) - 1, 1 << 20, 3_000_000]) {
      const run = "\0".repeat(length);
      expect(places(repairText(whole + run))).toEqual([`tornTail at ${whole.length}`]);
      expect(places(repairText(whole + run + whole))).toEqual([`tornTail at ${whole.length}`]);
      for (const damage of [run, `${run}\n`, "x".repeat(length)]) {
        const result = repairText(whole + damage + stop(3));
        expect(result.copy).toBe(whole + stop(3));
        const kind = damage.startsWith("x") ? "foreignLine" : "nulRun";
        expect(places(result)).toEqual([`${kind} at ${whole.length}`]);
        expect(result.leftOut.bytes).toBe(damage.length);
      }
    }
  });
});

describe("a random log", () => {
  /** Picks numbers below a limit, the same in every run of the tests. */
  function picker(seed: number) {
    const random = new Random(seed);
    return (limit: number) => random.below(limit);
  }
  type Pick = ReturnType<typeof picker>;

  const messages = ["m", forged, `${T}5.000000000 -- total requests 7`, "\\x00 \\\\", "\u00e9 -- "];
  function validLog(pick: Pick): string[] {
    const lines = [...records];
    for (let i = 1; i < 60; i++) {
      const message = messages[pick(messages.length)];
      lines.push(received(3 + i / 100, 11, message), completed(3 + i / 100, 11, i, message));
      if (pick(10) === 0) lines.push(at(4, `total requests ${i}`), at(4, "pool: all is well"));
      if (pick(10) === 0) lines.push(at(4, "child pid 12 ended: signal 9, abnormal"));
      if (pick(20) === 0) lines.push(...init.split(/(?<=\n)/));
    }
    return lines;
  }

  test("torn, overwritten with NUL bytes, mixed with foreign lines: what is whole is kept, and nothing else", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const pick = picker(seed);
      let damaged = "";
      const kept: { start: number; text: string }[] = [];
      for (const text of validLog(pick)) {
        const beginning = text.slice(0, 1 + pick(text.length - 1)); // torn anywhere
        const damage = [
          "\u0001hello\n",
          beginning,
          `${beginning}<torn>\n`,
          `${text.slice(0, 33)}\n`,
        ][pick(30)];
        damaged += damage ?? "";
        if (damage && pick(2) === 0) continue;
        kept.push({ start: damaged.length, text });
        damaged += text;
      }
      if (pick(3) === 0) damaged += damaged.slice(0, pick(200)).replaceAll("\n", "");
      const bytes = Buffer.from(damaged, "latin1");
      for (let runs = pick(4); runs > 0; runs--) {
        const start = pick(bytes.length);
        bytes.subarray(start, start + 1 + pick(pick(2) === 0 ? 3 : 500)).fill(0);
      }
      const expected = kept.filter(
        ({ start, text }) => bytes.toString("latin1", start, start + text.length) === text,
      );
      const { copy } = repairText(bytes.toString("latin1"));
      expect(copy, `seed ${seed}`).toBe(expected.map(({ text }) => text).join(""));
    }
  });

  test("cut, inserted into and overwritten with anything: no line that is whole is lost", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const pick = picker(seed);
      const original = validLog(pick);
      let bytes = Buffer.from(original.join(""), "latin1");
      for (let edits = 1 + pick(8); edits > 0; edits--) {
        const start = pick(bytes.length);
        const cut = pick(3) > 0 ? pick(200) : 0;
        const inserted = Buffer.from(Array.from({ length: pick(2) * pick(100) }, () => pick(256)));
        bytes = Buffer.concat([bytes.subarray(0, start), inserted, bytes.subarray(start + cut)]);
      }
      const damaged = bytes.toString("latin1");
      const { copy } = repairText(damaged);
      const lines = damaged.split(/(?<=\n)/);
      // Every line of the copy is a line of the log, or the end of one, in the same order.
      let at = 0;
      for (const line of copy.split(/(?<=\n)/).filter((line) => line !== "")) {
        while (at < lines.length && !lines[at]?.endsWith(line)) at++;
        expect(at++, `seed ${seed}: ${line}`).toBeLessThan(lines.length);
      }
      // Every whole line of the log is in the copy, in the same order.
      const known = new Set(original);
      const intact = lines.filter((line) => known.has(line));
      const found = copy.split(/(?<=\n)/).filter((line) => known.has(line));
      let next = 0;
      for (const line of found) if (line === intact[next]) next++;
      expect(next, `seed ${seed}`).toBe(intact.length);
      expect(repairText(copy).copy).toBe(copy);
    }
  });
});

describe("the files", () => {
  const damaged = `${whole}hello\n${head}`;
  const write = (text = damaged) => {
    const folder = temporaryFolder();
    const log = join(folder, "log");
    writeFileSync(log, text, "latin1");
    return { folder, log, out: join(folder, "copy") };
  };

  test("the command says what it kept and left out, where, and what that means", async () => {
    const { log, out } = write();
    const { stdout, stderr, code } = await run("repair", log, "--out", out);
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(stdout).toBe(
      [
        `log       ${log}, ${damaged.length.toLocaleString("en-US")} bytes`,
        `kept      ${records.length} records, ${whole.length.toLocaleString("en-US")} bytes, in ${out}`,
        "left out  66 bytes",
        `  foreign lines  1  DAMAGE    at ${whole.length}`,
        `  torn tails     1  harmless  at ${whole.length + 6}`,
        "          records may have been destroyed: then the books do not balance",
        `next      kilofork audit ${out}`,
        "",
      ].join("\n"),
    );
    expect(readFileSync(out, "latin1")).toBe(whole);
    const audited = await run("audit", log);
    expect(audited.stdout).toContain(
      [
        "  torn or foreign lines  2",
        `    foreign lines  1  DAMAGE    at ${whole.length}`,
        `    torn tails     1  harmless  at ${whole.length + 6}`,
        `  next         kilofork repair ${log} --out <file>`,
      ].join("\n"),
    );
    expect(audited.code).toBe(1);
    expect((await run("audit", out)).code).toBe(0);
  });

  test("--json is one object; nothing to leave out is no failure", async () => {
    const { log, out } = write(whole);
    const { stdout, code } = await run("repair", log, "--out", out, "--json");
    expect(JSON.parse(stdout)).toEqual({
      kind: "repair",
      schema: 1,
      ok: true,
      problems: [],
      log,
      out,
      rejected: null,
      heldByServer: false,
      kept: { records: records.length, bytes: whole.length },
      leftOut: { bytes: 0, damage: [] },
    });
    expect(code).toBe(0);
    expect(readFileSync(out, "latin1")).toBe(whole);
  });

  test("a destroyed record is not hidden: the copy's books do not balance", () => {
    const { log, out } = write(whole.replace(completed(2, 11, 1), `${nul}\n`));
    repair({ log, out, rejected: undefined });
    expect(audit({ logs: [out], atLeast: 0, all: false })).toMatchObject({
      ok: false,
      runs: [{ ledger: { damage: [] } }],
    });
  });

  test("--rejected gets what was left out, with its offset, in lines that a terminal can show", () => {
    const { log, out, folder } = write(`${init}\u001b[31m\\ \u00ff\n${head}${nul}`);
    const rejected = join(folder, "rejected");
    repair({ log, out, rejected });
    expect(readFileSync(rejected, "latin1")).toBe(
      `${init.length} foreignLine \\x1b[31m\\x5c \\xff\n` +
        `${init.length + 9} tornTail ${head}\\x00{4096}\n`,
    );
    truncateSync(log, 500_000_000);
    const big = { log, out: `${out}.2`, rejected: `${rejected}.2` };
    expect(repair(big).leftOut.damage).toMatchObject([{ kind: "foreignLine" }, { count: 1 }]);
    expect(readFileSync(`${rejected}.2`, "latin1")).toMatch(/ tornTail \\x00\{\d+\}\n$/);
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(100e6);
  });

  test("a file that is no log is refused, and there is no copy: exit 1", async () => {
    const { out, folder } = write();
    const rejected = join(folder, "rejected");
    const args = ["--out", out, "--rejected", rejected];
    expect(await run("repair", "package.json", ...args)).toEqual({
      ...{ code: 1, signal: null, stdout: "" },
      stderr: "kilofork: package.json: no record of a server in it\n",
    });
    expect([out, rejected].filter(existsSync)).toEqual([]);
  });

  test.each([0o640, 0o600, 0o644, 0o444])("the copy has the log's mode %o", (mode) => {
    const { log, out } = write();
    chmodSync(log, mode);
    repair({ log, out, rejected: undefined });
    expect(statSync(out).mode & 0o777).toBe(mode);
  });

  test("from a pipe it has mode 0640", async () => {
    const { log, out } = write();
    const script = `cat "${log}" | exec "$0" "$1" repair /dev/stdin --out "${out}"`;
    const shell = new Command(["-c", script, process.execPath, "bin/kilofork.cjs"], "sh");
    expect((await shell.end()).code).toBe(0);
    expect(readFileSync(out, "latin1")).toBe(whole);
    expect(statSync(out).mode & 0o777).toBe(0o640);
  });

  test.each([
    ["the log itself", (_: string, log: string) => log],
    ["another name of it", (out: string, log: string) => linkSync(log, out) ?? out],
    ["a link to it", (out: string, log: string) => symlinkSync(log, out) ?? out],
    ["a link to nothing", (out: string) => symlinkSync(`${out}.no`, out) ?? out],
    ["another file", (out: string) => writeFileSync(out, "mine") ?? out],
  ])("a copy in the place of %s is refused, and nothing is touched", async (_, make) => {
    const { log, out } = write();
    const target = make(out, log);
    const before = [fingerprint(log), existsSync(target) && fingerprint(target)];
    const { code, stdout, stderr } = await run("repair", log, "--out", target);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^kilofork: .* exists already; give a new file\n$/);
    expect([fingerprint(log), existsSync(target) && fingerprint(target)]).toEqual(before);
    expect(existsSync(`${out}.no`)).toBe(false);
  });

  test.skipIf(!hasStrace)("the log is opened once, to be read; the copy is synced", async () => {
    const { log, out, folder } = write();
    const trace = join(folder, "trace");
    const args = ["-f", "-y", "-o", trace, "-e", "trace=open,openat,truncate,fsync,link"];
    const command = [process.execPath, "bin/kilofork.cjs", "repair", log, "--out", out];
    expect((await new Command([...args, ...command], "strace").end()).code).toBe(0);
    const calls = readFileSync(trace, "latin1").split("\n");
    const opened = calls.filter((call) => call.includes(`"${log}"`));
    expect(opened).toEqual([expect.stringContaining(`"${log}", O_RDONLY|O_CLOEXEC)`)]);
    const made = calls.filter((call) => /^\d+ +(fsync|link)\(/.test(call) && call.includes(out));
    expect(made).toEqual([
      expect.stringMatching(/fsync\(\d+<.*copy\.partial-\w+>\) += 0/),
      expect.stringContaining(`, "${out}") = 0`),
    ]);
    expect(readdirSync(folder).sort()).toEqual(["copy", "log", "trace"]);
  });

  test("a repair that is interrupted leaves nothing under the name of the copy", async () => {
    const { folder, out } = write();
    const pipe = join(folder, "pipe");
    await new Command([pipe], "mkfifo").end();
    const command = new Command(["repair", pipe, "--out", out]);
    const writer = openSync(pipe, "r+"); // the repair waits for more
    await until("the copy is begun", () => readdirSync(folder).length > 2);
    command.kill("SIGTERM");
    expect((await command.end()).signal).toBe("SIGTERM");
    closeSync(writer);
    expect(existsSync(out)).toBe(false);
  });

  test("a repair that fails leaves no copy", async () => {
    const { folder, log, out } = write();
    const args = ["--out", out];
    const said = async (...command: string[]) => {
      const { code, stderr } = await run("repair", ...command, ...args);
      expect(existsSync(out)).toBe(false);
      return `${code} ${stderr}`;
    };
    expect(await said(join(folder, "no"))).toMatch(/^3 kilofork: cannot read the log: ENOENT/);
    expect(await said(folder)).toMatch(/^3 kilofork: cannot read the log .*: EISDIR/);
    expect(await said(log, "--rejected", log)).toMatch(/^2 .*log exists already/);
    expect(await said(log, "--rejected", out)).toMatch(/^2 .*copy exists already/);
    expect(await said(log, "--rejected", "/no/such/file")).toMatch(/^2 .*folder of .* is missing/);
    expect((await run("repair", log)).code).toBe(2);

    writeFileSync(log, whole.repeat(5000));
    const script = `ulimit -f 100; exec "$0" bin/kilofork.cjs repair "${log}" --out "${out}"`;
    const limited = await new Command(["-c", script, process.execPath], "sh").end();
    expect(limited.stderr).toMatch(/^kilofork: cannot write .*copy: EFBIG/);
    expect(limited.code).toBe(1);
    expect(readdirSync(folder)).toEqual(["log"]);
  });
});

describe("the log of a server", () => {
  test("that runs is copied, and the report says that the run goes on", async () => {
    const server = await Server.start({ children: 2 });
    const out = join(server.folder, "copy");
    const { stdout, code } = await run("repair", server.log, "--out", out);
    expect(stdout).toContain(`a running server writes to it: what comes after this is not in`);
    expect(code).toBe(0);
    expect((await server.stop()).code).toBe(0);
    expect(repairFile(server.log)).toMatchObject({ heldByServer: false, leftOut: { bytes: 0 } });
    expect(readFileSync(server.log, "latin1")).toContain(readFileSync(out, "latin1"));
  });

  test("whose children are killed in the middle of records balances again, with nothing torn", async () => {
    const server = await Server.start({ children: 20, args: ["--max-line", "65536"] });
    const kill = async () => {
      const client = await RawClient.greeted(server.port);
      client.send(`arijort:${"\u0001".repeat(60_000)}\n`); // four bytes each in the log
      const soon = performance.now() + 2 * Math.random();
      while (performance.now() < soon);
      process.kill(client.pid, "SIGKILL");
      await client.close();
    };
    await until("a record is torn", async () => {
      for (let i = 0; i < 20; i++) await kill();
      return server.audit().runs[0]?.ledger.damage.some(({ kind }) => kind === "tornHead");
    });
    await server.untilIdle();
    await server.stop();

    const { ok, runs } = server.audit();
    const { copy, out, leftOut } = repairFile(server.log);
    expect(leftOut.damage.filter(({ harmless }) => !harmless)).toEqual([]);
    const repaired = audit({ logs: [out], atLeast: 0, all: false });
    expect([ok, repaired.ok]).toEqual([true, true]);
    const { completed, counted, died, tornHeads } = runs[0]?.ledger ?? {};
    expect(tornHeads).toBeGreaterThan(0);
    expect(repaired.runs[0]?.ledger).toMatchObject({ completed, counted, died, tornHeads: 0 });
    expect(copy.endsWith("Server stop\n")).toBe(true);
  });
});
