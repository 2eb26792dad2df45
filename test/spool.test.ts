/** A log that is a pipe or a socket: records are whole, and a reader that stalls stops nothing. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { audit } from "../src/audit/audit";
import { commandPath } from "../src/base/paths";
import type { ClientResult } from "../src/client/load";
import { type StartedServer, startServer } from "../src/harness/server";
import { ourProcesses, processes, segmentsOf, temporaryFolder } from "./support/cleanup";
import { run } from "./support/command";
import { Fifo } from "./support/fifo";
import { RawClient } from "./support/socket";
import { until } from "./support/wait";

const UNAVAILABLE = "error unavailable: the request could not be recorded, try again later";
const WHOLE = /^\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d\.\d{9} -- \S.*$/;

/** Collects what it reads. */
class Pipe extends Fifo {
  private received = Buffer.alloc(0);

  constructor() {
    super(join(temporaryFolder(), "pipe"));
    pipes.push(this);
  }

  /** Reads what is there; returns all that was read. */
  text(): string {
    this.received = Buffer.concat([this.received, this.read()]);
    return this.received.toString("latin1");
  }
}

const pipes: Pipe[] = [];
afterEach(() => {
  for (const pipe of pipes.splice(0)) pipe.close();
});

async function start(pipe: Pipe, ...args: string[]): Promise<StartedServer> {
  const server = await startServer({
    ...{ children: 4, work: "none", log: pipe.writer, args },
    env: { TZ: "UTC", ...processes.environment },
  });
  processes.add(server.pid);
  return server;
}

async function client(port: number, threads: number, ...args: string[]): Promise<ClientResult> {
  const { stdout } = await run(
    ...["client", "127.0.0.1", String(port), String(threads), ...args, "--json"],
  );
  return JSON.parse(stdout) as ClientResult;
}

const status = async (port: number) => (await run("status", String(port))).stdout;

function auditText(text: string) {
  const log = join(temporaryFolder(), "log");
  writeFileSync(log, text);
  return audit({ logs: [log], atLeast: 0, all: false });
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/** A message whose record is longer than what a pipe takes in one piece (PIPE_BUF, 4,096 bytes). */
const LONGEST = "\u0001".repeat(1015);

/** Sends `count` of them over one connection, each after the reply to the last. */
async function sendLongest(port: number, count: number): Promise<number> {
  const raw = await RawClient.greeted(port);
  for (let i = 1; i <= count && !raw.ended; i++) {
    raw.send(`arijort:${LONGEST}\n`);
    await raw.lines(i + 1);
  }
  await raw.close();
  return raw.text.split("\n").length - 2;
}

/** Resolves when the reader has been given all that the pipe has room for. */
async function fill(port: number): Promise<RawClient[]> {
  const raws = await Promise.all([1, 2].map(() => RawClient.greeted(port)));
  const request = `arijort:${"x".repeat(1000)}\n`;
  for (const raw of raws) raw.send(request.repeat(2000));
  await until("replies wait", async () => /takes? nothing|taken nothing/.test(await status(port)));
  return raws;
}

test("100 clients with the longest messages: each record in the pipe is whole", async () => {
  const pipe = new Pipe();
  const server = await start(pipe, "--children", "100");
  const reading = setInterval(() => pipe.text(), 1);
  try {
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => sendLongest(server.port, 50)),
    );
    expect(new Set(replies)).toEqual(new Set([50]));
    expect(await server.stop()).toMatchObject({ code: 0 });
  } finally {
    clearInterval(reading);
  }
  const log = lines(pipe.text());
  expect(log.filter((line) => !WHOLE.test(line))).toEqual([]);
  expect(log.filter((line) => line.includes("completed req"))).toHaveLength(5000);
  expect(log.at(-1)).toContain("Server stop");
  expect(auditText(pipe.text()).problems).toEqual([]);
});

describe("standard output and standard error that are one", () => {
  const serve = `exec "${process.execPath}" "${commandPath}" serve 127.0.0.1 0 --children 20 --work none --log - --ready-fd 3 --stop-at-eof 2>&1`;

  /** The reader begins late, when the pipe or socket is full. */
  async function serveBy(script: string) {
    const shell = spawn("bash", ["-c", script], {
      stdio: ["pipe", "pipe", "inherit", "pipe"],
      env: { ...process.env, TZ: "UTC", ...processes.environment },
    });
    let text = "";
    const [line] = await once(shell.stdio[3] as Readable, "data");
    const { pid, port } = JSON.parse(String(line)) as { pid: number; port: number };
    processes.add(pid);
    const load = client(port, 20, "arijort:lalala", "--requests", "500");
    await sleep(1000);
    shell.stdout?.on("data", (data) => (text += data));
    const { requests } = await load;
    const ended = once(shell, "close");
    shell.stdin?.end();
    await ended;
    return { requests, text };
  }

  test.each([
    { kind: "pipe", script: `${serve} | (sleep 2; cat)` },
    { kind: "socket", script: serve }, // what Node gives a program that it starts
  ])("$kind: every request is answered and recorded", async ({ script }) => {
    const { requests, text } = await serveBy(script);
    expect(requests).toMatchObject({ verified: 10_000, failed: 0 });
    const log = lines(text);
    expect(log.filter((line) => line.includes("completed req"))).toHaveLength(10_000);
    expect(log.filter((line) => !WHOLE.test(line) && !/^(kilofork: |Running)/.test(line))).toEqual(
      [],
    );
    expect(log.some((line) => line.endsWith("Server stop"))).toBe(true);
  });
});

describe("a reader that stalls", () => {
  test("holds requests, then they are refused until it reads again; the books hold", async () => {
    const pipe = new Pipe();
    const server = await start(pipe);
    const raws = await fill(server.port);
    expect(await status(server.port)).toMatch(
      /^problem {3}the reader of the log has taken nothing for [\d.]+ s, and [\d,]+ bytes wait for it$/m,
    );
    for (const raw of raws) expect(lines(await raw.rest()).at(-1)).toBe(UNAVAILABLE);
    expect(server.stderr.filter((line) => line.includes("takes nothing"))).toHaveLength(1);
    const refused = await RawClient.greeted(server.port);
    refused.send("arijort:lalala\n");
    expect((await refused.lines(2))[1]).toBe(UNAVAILABLE);
    await refused.close();

    await until("it is said that the log can be written again", () => {
      pipe.text();
      return server.stderr.some((line) => line.includes("can be written again"));
    });
    expect((await client(server.port, 4, "arijort:again")).requests.verified).toBe(4);
    expect(await status(server.port)).not.toMatch(/problem/);
    const reading = setInterval(() => pipe.text(), 10);
    expect(await server.stop()).toMatchObject({ code: 0 });
    clearInterval(reading);
    const { problems, runs } = auditText(pipe.text());
    expect(problems).toEqual([]);
    const replies = raws.reduce((sum, raw) => sum + lines(raw.text).length - 2, 0);
    expect(runs[0]?.ledger).toMatchObject({ counted: replies + 4, takenBack: 2 });
    for (const raw of raws) await raw.close();
  });

  test.each([
    ["SIGTERM", "100ms"],
    ["SIGQUIT", "10m"],
  ] as const)(
    "%s with a grace of %s ends the server; requests that wait for it count as aborted",
    async (signal, grace) => {
      const pipe = new Pipe();
      const server = await start(pipe, "--grace", grace);
      const raws = await fill(server.port);
      expect(await server.stop(signal)).toMatchObject({ code: 1 }); // two requests were aborted
      expect(server.stderr.join("\n")).toMatch(/the last [\d,]+ bytes of the log are lost/);
      for (const raw of raws) {
        expect(await raw.rest()).not.toContain("error");
        await raw.close();
      }
    },
  );

  test("also where standard error is the same pipe, which is full", async () => {
    const pipe = new Pipe();
    const server = await startServer({
      ...{ children: 4, work: "none", log: pipe.writer, stderr: pipe.writer },
      args: ["--grace", "100ms"],
      env: processes.environment,
    });
    processes.add(server.pid);
    const raws = await fill(server.port);
    await server.stop();
    for (const raw of raws) await raw.close();
  });

  test("nothing is left of a server whose front, or front and supervisor, are killed", async () => {
    for (const both of [false, true]) {
      const pipe = new Pipe();
      const server = await start(pipe, "--grace", "100ms");
      const raws = await fill(server.port);
      const [supervisor = 0] = ourProcesses(/^kilofork-superv/);
      process.kill(server.pid, "SIGKILL");
      if (both) process.kill(supervisor, "SIGKILL");
      await until("all processes have ended", () => ourProcesses(/kilofork/).length === 0);
      expect(segmentsOf(server.pid)).toEqual([]);
      for (const raw of raws) await raw.close();
      await server.ended;
    }
  });
});

test("a reader that is gone is said once, and requests are refused", async () => {
  const pipe = new Pipe();
  const server = await start(pipe);
  expect((await client(server.port, 4, "arijort:lalala")).requests.verified).toBe(4);
  pipe.closeReader();
  for (let i = 0; i < 5; i++) {
    const raw = await RawClient.greeted(server.port);
    raw.send("arijort:lalala\n");
    expect((await raw.lines(2))[1]).toBe(UNAVAILABLE);
    await raw.close();
  }
  expect(await status(server.port)).toContain("the log cannot be written: EPIPE");
  expect(await server.stop()).toMatchObject({ code: 0 });
  expect(server.stderr.filter((line) => line.includes("reader of the log has gone"))).toHaveLength(
    1,
  );
});

describe("a reader that is gone for good ends the server", () => {
  const serve = `"${process.execPath}" "${commandPath}" serve 127.0.0.1 0 --children 2 --work none --log - --ready-fd 3 3>&3`;

  test.each([
    { kind: "pipe", script: `${serve} | head -n 1 >&2; exit \${PIPESTATUS[0]}` },
    { kind: "socket", script: `exec ${serve}` },
  ])("$kind", async ({ script }) => {
    const shell = spawn("bash", ["-c", script], {
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: { ...process.env, ...processes.environment },
    });
    let said = "";
    shell.stderr?.on("data", (data) => (said += data));
    const ended = once(shell, "close");
    const [line] = await once(shell.stdio[3] as Readable, "data");
    const { pid, port } = JSON.parse(String(line)) as { pid: number; port: number };
    processes.add(pid);
    shell.stdout?.destroy();
    await until("the server has ended", async () => {
      await run("client", "127.0.0.1", String(port), "1", "arijort:lalala");
      return shell.exitCode !== null;
    });
    expect((await ended)[0]).toBe(1);
    expect(said).toMatch(/^kilofork: the reader of the log has gone/m);
    expect(said).toMatch(
      /^kilofork: stopped by the end of the log's reader: \d+ requests? served/m,
    );
  });
});

test("a log writer or a supervisor that is killed loses no record and repeats none", async () => {
  const pipe = new Pipe();
  const server = await start(pipe);
  const reading = setInterval(() => pipe.text(), 1);
  const load = client(server.port, 4, "arijort:lalala", "--duration", "2s");
  const killed = new Set<number>();
  for (let i = 0; i < 8; i++) {
    const pid = await until("there is another writer", () =>
      ourProcesses(/^kilofork-writer/).find((each) => !killed.has(each)),
    );
    process.kill(pid, "SIGKILL");
    killed.add(pid);
  }
  const { requests } = await load;
  expect(requests.failed).toBe(0);
  const [supervisor = 0] = ourProcesses(/^kilofork-superv/);
  process.kill(supervisor, "SIGKILL");
  await until("there is another supervisor", () =>
    ourProcesses(/^kilofork-superv/).some((pid) => pid !== supervisor),
  );
  await until("it serves", async () => (await status(server.port)).includes("4 idle"));
  expect((await client(server.port, 4, "arijort:again")).requests.verified).toBe(4);
  expect(await server.stop()).toMatchObject({ code: 0 });
  clearInterval(reading);
  const { problems, runs } = auditText(pipe.text());
  expect(problems).toEqual([]);
  expect(runs[0]?.ledger).toMatchObject({
    counted: requests.verified + 4,
    completed: requests.verified + 4,
  });
});

test("a file and /dev/null are written to directly", async () => {
  for (const log of [join(temporaryFolder(), "log"), "/dev/null"]) {
    const server = await startServer({
      ...{ children: 2, work: "none", log },
      env: processes.environment,
    });
    processes.add(server.pid);
    expect(ourProcesses(/^kilofork-writer/)).toEqual([]);
    expect((await client(server.port, 2, "arijort:lalala")).requests.verified).toBe(2);
    expect(await server.stop()).toMatchObject({ code: 0 });
    if (log !== "/dev/null") expect(readFileSync(log, "utf8")).toContain("Server stop");
  }
});
