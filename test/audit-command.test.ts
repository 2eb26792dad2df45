/** `kilofork audit`, and the log of a server. */
import {
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { segmentsOf, temporaryFolder } from "./support/cleanup";
import { run } from "./support/command";
import { births, completed, init, received, stop } from "./support/log";
import { Server } from "./support/server";

describe("the log of a server", () => {
  test.each([
    ["<+0530>-5:30", "+05:30"],
    ["CET-1CEST-1,M3.5.0,M10.5.0/3", "+01:00"],
  ])(
    "with TZ=%s says the offset that its times have, and again when a child finds another",
    async (TZ, offset) => {
      const server = await Server.start({ children: 2, env: { TZ } });
      const out = join(server.folder, "client.json");
      const load = (message: string) =>
        run("client", "127.0.0.1", String(server.port), "2", `arijort:${message}`, "--out", out);
      expect((await load("before")).code).toBe(0);
      // As after a change: the offset that was published, in an earlier quarter of an hour, is another.
      const segment = join("/dev/shm", segmentsOf(server.front)[0] ?? "");
      const fd = openSync(segment, "r+");
      const page = Buffer.alloc(4096);
      readSync(fd, page, 0, 4096, 0);
      const quarter = Math.floor(Date.now() / 900_000) + 1;
      const at =
        page.findLastIndex((_, i) => i % 8 === 4 && page.readUInt32LE(i - (i % 4)) === quarter) - 4;
      const word = Buffer.alloc(8);
      word.writeInt32LE(-3600, 0);
      word.writeUInt32LE(quarter - 9, 4);
      writeSync(fd, word, 0, 8, at);
      closeSync(fd);
      expect((await run("ctl", "replace", String(server.port))).code).toBe(0); // with no time in mind
      expect((await load("after")).code).toBe(0);
      const audited = await run("audit", server.log, "--client", out);
      await server.stop();
      expect(audited.stderr).toBe("");
      const log = readFileSync(server.log, "utf8");
      expect(log).toMatch(new RegExp(` -- front .* UTC\\${offset}\n`));
      expect(log).toMatch(new RegExp(` -- local time is UTC\\${offset}\n`));
    },
  );
});

test("the command prints one JSON object, or a report, and exits 1 when the books do not balance", async () => {
  const path = join(temporaryFolder(), "log");
  writeFileSync(path, init + births(11) + received(1, 11) + completed(2, 11, 1) + stop(2));
  const json = await run("audit", path, "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ kind: "audit", schema: 1, ok: false });
  expect(json.code).toBe(1);
  const report = await run("audit", path);
  expect(report.stdout).toContain("DOES NOT BALANCE");
  expect(report.stderr).toBe(
    "kilofork: counted 2 requests when only 1 completed records were there\n",
  );
});

test("no byte of a client's result controls the terminal, nor begins a line", async () => {
  const folder = temporaryFolder();
  const [log, client] = [join(folder, "log"), join(folder, "client.json")];
  writeFileSync(log, init + births(11) + stop(0));
  for (const text of ["\x1b[2J\u009b\nkilofork: OK", '{"kind": \x1b]0;x\x07\n}', '"\x7f\r']) {
    writeFileSync(client, text);
    const { code, stdout, stderr } = await run("audit", log, "--client", client);
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toMatch(/^kilofork: cannot read the client's result \P{Cc}+\n$/u);
  }
});

describe("a server that still runs", () => {
  test("is audited by what it has counted in shared memory, until its total is in the log", async () => {
    const server = await Server.start({ children: 2, args: ["--report-every", "0"] });
    const client = await server.client(2, "arijort:la");
    const out = join(server.folder, "client.json");
    writeFileSync(out, JSON.stringify(client));
    const { code, stdout } = await run("audit", server.log, "--client", out);
    expect(code).toBe(0);
    expect(stdout).toContain("the server still runs: what it counted is from its shared memory");
    expect(stdout).toMatch(/ 2 {2}<= {8}2 {2}<= {10}2 {2}<= {11}2 \+ 0 {3}ok\n/);
    expect(server.audit(client).runs[0]?.ledger).toMatchObject({
      ...{ counted: 2, countedFrom: "shared memory", completed: 2 },
    });
    const copy = join(server.folder, "copy.log"); // not the file that it writes to
    copyFileSync(server.log, copy);
    const ofCopy = await run("audit", copy, "--client", out);
    expect(ofCopy.stdout).toMatch(/ \? \+ 0 {3}the total is not written yet\n/);
    const more = { ...client, requests: { ...client.requests, verified: 3 } };
    expect(server.audit(more).problems).toContain(
      "client: 3 replies verified, but the server counted 2",
    );
    await server.stop();
    expect(server.audit(client).runs[0]?.ledger).toMatchObject({ countedFrom: "log" });
  });
});

test("runs of clients at the same time cannot be judged by the result of one: exit 3", async () => {
  const second = (number: number) => Date.UTC(2026, 10, 22, 15, 44, 50 + number);
  const client = (from: number, to: number) => ({
    ...{ kind: "client", schema: 1, message: "arijort:la", clients: 1, address: "127.0.0.1" },
    ...{ firstConnectMs: second(from), lastReplyMs: second(to) },
    requests: { verified: 1, sent: 1, failed: 0 },
    inFlight: { peak: 1, pids: 1, fromMs: second(from), heldMs: (to - from) * 1000 },
  });
  const together =
    init +
    births(11, 12) +
    received(1, 11, "la 1") +
    received(2, 12, "la 1") +
    completed(3, 11, 1, "la 1") +
    completed(4, 12, 1, "la 1") +
    stop(2);
  const folder = temporaryFolder();
  const [log, one, other] = ["log", "one", "other"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(log, together);
  writeFileSync(one, JSON.stringify(client(1, 3)));
  writeFileSync(other, JSON.stringify(client(2, 4)));
  const alone = await run("audit", log, "--client", one);
  expect(alone).toMatchObject({ code: 3, stdout: "" });
  expect(alone.stderr).toMatch(/^kilofork: the log has 2 requests .* it sent 1: .*--client.*\n$/);
  const both = await run("audit", log, "--client", one, "--client", other);
  expect(both).toMatchObject({ code: 0, stderr: "" });
  expect(both.stdout).toContain(`${one}, ${other}: 2 clients, 2 replies verified`);
  const twice = await run("audit", log, "--client", one, "--client", one);
  expect(twice).toMatchObject({
    code: 3,
    stderr: "kilofork: the result of one run of a client is given twice\n",
  });
});
