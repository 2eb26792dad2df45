/** The load client against a real server: what it sends, measures and reports. */

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { commandPath } from "../src/base/paths";
import { Latency } from "../src/client/latency";
import { type ClientResult, splitClients } from "../src/client/load";
import { Shared } from "../src/client/mutex";
import { openResult } from "../src/command/output";
import { temporaryFolder } from "./support/cleanup";
import { Command, processPer, run } from "./support/command";
import { Server } from "./support/server";
import { runOnTerminal } from "./support/terminal";
import { until } from "./support/wait";

describe("the documented invocations", () => {
  test("myserver and cclient print what the original printed", async () => {
    const server = await Server.start({ children: 50 });
    const { stdout, code } = await run(
      ...["client", "127.0.0.1", String(server.port), "50", "arijort:message for you"],
    );
    expect(code).toBe(0);
    const [first, second] = stdout.split("\n");
    expect(first).toBe(`connecting to host:port 127.0.0.1:${server.port} with 50 threads`);
    expect(second).toBe("handled 50 requests");
    await server.stop();
    expect(server.records(/recvd message "message for you \d+" from user arijort$/)).toHaveLength(
      50,
    );
    expect(
      server.records(/completed req "message for you \d+" on \d+ total reqs \d+$/),
    ).toHaveLength(50);
  });
});

test("every client and every request has its number, and no request is lost when they are divided over threads", async () => {
  const server = await Server.start({ children: 10 });
  const result = await server.client(7, "foobar:n", "--requests", "3", "--os-threads", "4");
  expect(result.requests).toEqual({ sent: 21, verified: 21, failed: 0 });
  await server.stop();
  const numbers = server.records(/recvd/).map((line) => / "n (\S+)" /.exec(line)?.[1]);
  const expected = [1, 2, 3, 4, 5, 6, 7].flatMap((c) => [1, 2, 3].map((r) => `${c}.${r}`));
  expect(numbers.sort()).toEqual(expected);
});

test("shares of the clients differ by one at the most, and are numbered consecutively", () => {
  for (const [clients, osThreads] of [
    [7, 4],
    [1000, 3],
    [1, 8],
    [8, 8],
  ] as const) {
    const shares = splitClients({ clients, osThreads });
    expect(shares.reduce((sum, share) => sum + share.clients, 0)).toBe(clients);
    let next = 1;
    for (const share of shares) {
      expect(share.firstNumber).toBe(next);
      expect(share.clients).toBeGreaterThan(0);
      next += share.clients;
    }
  }
});

test("a result that cannot be saved is printed", async () => {
  const server = await Server.start({ children: 1 });
  const { code, stdout, stderr } = await run(
    ...["client", "127.0.0.1", String(server.port), "1", "arijort:f", "--json"],
    ...["--out", "/dev/full"],
  );
  expect(JSON.parse(stdout)).toMatchObject({ ok: true });
  expect(stderr).toMatch(/^kilofork: cannot write the result: ENOSPC/);
  expect(code).toBe(2);
  await server.stop();
});

test("braces in a message are sent as they are, also where they look like a field", async () => {
  const server = await Server.start({ children: 2 });
  const text = '{n} {pid} {user} {message} {{x}} "q" \\ {';
  const result = await server.client(2, `arijort:${text}`);
  expect(result.requests).toEqual({ sent: 2, verified: 2, failed: 0 });
  await server.stop();
  const quoted = text.replaceAll(/["\\]/g, "\\$&");
  const received = server.records(/recvd message/).filter((line) => line.includes(`"${quoted} 1"`));
  expect(received).toHaveLength(1);
});

test("a user's name with braces is sent as it is", async () => {
  const folder = temporaryFolder();
  const users = join(folder, "users");
  writeFileSync(users, "{message}\n{user}\n");
  const server = await Server.start({ children: 2, args: ["--users", users] });
  for (const user of ["{message}", "{user}"]) {
    const result = await server.client(2, `${user}:{user} {message}`);
    expect(result.requests).toEqual({ sent: 2, verified: 2, failed: 0 });
  }
  await server.stop();
});

test("--duration ends the load, --rate keeps its schedule, --ramp spreads the connects", async () => {
  const server = await Server.start({ children: 20 });
  const timed = await server.client(5, "arijort:d", "--duration", "500ms");
  expect(timed.requests.verified).toBeGreaterThan(5);
  expect(timed.requests.failed).toBe(0);

  const open = await server.client(20, "arijort:r", "--rate", "200", "--duration", "1s");
  expect(open.loop).toBe("open");
  // The schedule has 200 sends in a second; rounding may add or remove one.
  expect(Math.abs(open.requests.sent - 200)).toBeLessThanOrEqual(2);

  const ramp = await server.client(20, "arijort:p", "--ramp", "500ms");
  expect(ramp.requests.verified).toBe(20);
  expect(ramp.elapsedMs).toBeGreaterThanOrEqual(400);
  await server.stop();
});

test("in an open loop a slow server shows in the latency: it counts from the intended send", async () => {
  const server = await Server.start({ children: 1, work: "sleep:100ms" });
  const slow = await server.client(1, "arijort:o", "--rate", "100", "--requests", "5");
  // They are intended within 50 ms and each takes 100 ms: the last one waits for all before it.
  expect(slow.requests).toEqual({ sent: 5, verified: 5, failed: 0 });
  expect(slow.replyMs.max).toBeGreaterThan(400);

  // Of 50 that are intended within 500 ms, some 45 are never sent.
  const result = await server.client(1, "arijort:p", "--rate", "100", "--duration", "500ms");
  const { sent, verified, failed } = result.requests;
  expect(verified).toBe(sent);
  expect(Math.abs(sent + failed - 50)).toBeLessThanOrEqual(1);
  expect(failed).toBeGreaterThan(30);
  expect(result).toMatchObject({
    ok: false,
    problems: [`${failed} overdue: fell due, and no client was free to send it`],
    failures: [{ kind: "overdue", count: failed, firstClient: 0 }],
    replyMs: { count: verified + failed },
  });
  expect(result.replyMs.p50).toBeGreaterThan(150);
  await server.stop();
});

test("a client that was stopped for a time reports that as its own lag, and exits 3", async () => {
  const server = await Server.start({ children: 2 });
  const client = new Command([
    ...["client", "127.0.0.1", String(server.port), "2", "arijort:o", "--json"],
    ...["--rate", "200", "--duration", "2s"],
  ]);
  await until("a part of the requests is done", () => server.scoreboard.total() > 20);
  client.kill("SIGSTOP");
  await sleep(1000);
  client.kill("SIGCONT");
  const { code, stdout } = await client.end();
  expect(code).toBe(3);
  const { lagMs, clientWasBottleneck } = JSON.parse(stdout) as ClientResult;
  expect(clientWasBottleneck).toBe(true);
  expect(lagMs.max).toBeGreaterThan(900);
  expect(lagMs.p90).toBeGreaterThan(200);
  await server.stop();
});

// A keeper greets all.
test.skipIf(processPer === "request")(
  "--barrier: a client that is not greeted in time has failed, the others go on",
  async () => {
    const server = await Server.start({ children: 9, work: "sleep:200ms" });
    const result = await server.client(10, "arijort:b", "--barrier", "--connect-timeout", "500ms");
    expect(result).toMatchObject({
      ok: false,
      greeted: { clients: 9, pids: 9 },
      requests: { verified: 9, failed: 1 },
      inFlight: { peak: 9, pids: 9 },
      failures: [{ kind: "ungreeted", count: 1 }],
    });
    expect(result.problems).toContain("9 of 10 clients were greeted at the barrier");
    await server.stop();
  },
);

test("a reply that never comes is a time-out, and the failure names the client", async () => {
  const server = await Server.start({ children: 2, work: "sleep:10m", args: ["--grace", "0"] });
  const result = await server.client(2, "arijort:t", "--timeout", "300ms");
  expect(result.failures).toMatchObject([{ kind: "timeout", count: 2, firstClient: 1 }]);
  await server.stop();
});

test("a client that gets refusals alone says so, and shows no latency", async () => {
  const server = await Server.start({ children: 2 });
  const { code, stdout, stderr } = await run(
    ...["client", "127.0.0.1", String(server.port), "2", "root:x"],
  );
  const problem = '2 refused: by the server ("error unauthorized: no such user"), first client 1';
  expect({ code, stderr }).toEqual({ code: 1, stderr: `kilofork: ${problem}\n` });
  expect(stdout).toContain(`failed     ${problem}\n`);
  expect(stdout).toContain("rate       no reply\n");
  expect(stdout).toMatch(/^reply( +-){5}$/m);
  await server.stop();
});

/** A server that answers each request as the test says. */
async function scripted(
  answer: (request: string) => string,
): Promise<{ port: number; close: () => void }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.write("this is server thread 77\n");
    socket.on("data", (data) => socket.end(answer(data.toString())));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return { port, close: () => server.close() };
}

async function against(
  answer: (request: string) => string,
  mode = processPer,
): Promise<ClientResult> {
  const server = await scripted(answer);
  const { stdout } = await run(
    ...["client", "127.0.0.1", String(server.port), "1", "arijort:x", "--json"],
    ...["--process-per", mode],
  );
  server.close();
  return JSON.parse(stdout) as ClientResult;
}

describe("a reply is verified byte for byte", () => {
  const right = 'server 77 recvd message "x 1" from user arijort';
  test.each([
    ["right", `${right}\n`, true],
    ["right, ended by end of file instead of newline", right, true],
    // With a process for each request, the pid is that of the reply.
    ["of another pid", `${right.replace("77", "78")}\n`, processPer === "request"],
    ["of another client", `${right.replace("x 1", "x 2")}\n`, false],
    ["one byte short", right.slice(0, -1), false],
    ["one byte long", `${right}\n\n`, false],
    ["none", "", false],
  ])("%s", async (_, answer, ok) => {
    const result = await against(() => answer);
    expect(result.ok).toBe(ok);
    expect(result.requests.verified).toBe(ok ? 1 : 0);
  });
});

describe("with a process for each request, the pid is that of the reply", () => {
  const right = 'server 78 recvd message "x 1" from user arijort';
  test.each([
    ["another pid than the greeting's", `${right}\n`, true],
    ["no pid", `${right.replace("78", "")}\n`, false],
    ["a pid beyond any number", `${right.replace("78", "99999999999")}\n`, false],
    ["no number as the pid", `${right.replace("78", "7x")}\n`, false],
    ["another client's message", `${right.replace("x 1", "x 2")}\n`, false],
  ])("%s", async (_, answer, ok) => {
    const result = await against(() => answer, "request");
    expect(result.requests.verified).toBe(ok ? 1 : 0);
    expect(result).toMatchObject({ ok, processPer: "request" });
    if (ok) expect(result.greeted).toEqual({ clients: 1, pids: 1, firstPids: [78] });
  });
});

test("--out writes the result, which names the address and says what the client itself cost", async () => {
  const server = await Server.start({ children: 5 });
  const out = join(temporaryFolder(), "client.json");
  await run("client", "localhost", String(server.port), "5", "arijort:x", "--out", out);
  const result = JSON.parse(readFileSync(out, "utf8")) as ClientResult;
  expect(result).toMatchObject({
    kind: "client",
    schema: 1,
    ok: true,
    address: "127.0.0.1",
    synRetransmits: 0,
  });
  expect(result.lagMs.count).toBeGreaterThan(0);
  const audited = await run("audit", server.log, "--client", out, "--at-least", "1");
  expect(audited.code).toBe(0);
  await server.stop();
});

describe("a result is never destroyed", () => {
  const load = (port: number, out: string) => [
    ...["client", "127.0.0.1", String(port), "4", "arijort:lalala"],
    ...["--duration", "60s", "--out", out],
  ];

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)(
    "%s, also twice, ends a client with the result of what there was",
    async (signal, exit) => {
      const server = await Server.start({ children: 4 });
      const out = join(temporaryFolder(), "client.json");
      writeFileSync(out, "an old one");
      chmodSync(out, 0o640);
      const client = new Command(load(server.port, out));
      await until("a part of the requests is done", () => server.scoreboard.total() > 100);
      expect(readFileSync(out, "utf8")).toBe("an old one");
      client.kill(signal);
      client.kill(signal);
      const { code, stdout } = await client.end();
      expect(code).toBe(exit);
      const result = JSON.parse(readFileSync(out, "utf8")) as ClientResult;
      expect(result).toMatchObject({ interrupted: true, problems: ["interrupted"] });
      expect(stdout).toContain(`handled ${result.requests.verified} requests`);
      expect(result.requests.verified).toBeGreaterThan(100 - 4);
      expect(statSync(out).mode & 0o777).toBe(0o640);
      expect(readdirSync(dirname(out))).toEqual(["client.json"]);
      await server.stop();
    },
  );

  test("a hang-up of the terminal saves it, too", async () => {
    const server = await Server.start({ children: 4 });
    const out = join(temporaryFolder(), "client.json");
    const { code, errors } = await runOnTerminal({
      argv: [process.execPath, commandPath, ...load(server.port, out), "--requests", "1000000"],
      when: { text: "requests |", times: 2 },
      act: "a hang-up",
    });
    expect({ code, errors }).toEqual({ code: 129, errors: "" });
    expect(JSON.parse(readFileSync(out, "utf8"))).toMatchObject({ interrupted: true });
    await server.stop();
  });

  test("a client whose output nobody reads any more saves it", async () => {
    const server = await Server.start({ children: 1 });
    const out = join(temporaryFolder(), "client.json");
    const client = new Command(load(server.port, out));
    client.closeOutput();
    const { code, stderr } = await client.end();
    expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
    expect(JSON.parse(readFileSync(out, "utf8"))).toMatchObject({ interrupted: true });
    await server.stop();
  });

  test("an old file stays until the new one is whole, and what cannot be replaced is written to", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "result");
    writeFileSync(path, "old");
    const link = join(folder, "link");
    symlinkSync("result", link);
    const before = openSync(path, "r");
    const save = openResult(link, "result");
    expect(readFileSync(path, "utf8")).toBe("old");
    save?.("new");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readFileSync(before, "utf8")).toBe("old"); // it has not been written to
    expect(readlinkSync(link)).toBe("result");
    closeSync(before);

    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    openResult(pipe, "result")?.("through a pipe");
    const read = Buffer.alloc(100);
    expect(read.toString("utf8", 0, readSync(reader, read))).toBe("through a pipe");
    closeSync(reader);
    expect(readdirSync(folder).sort()).toEqual(["link", "pipe", "result"]);
    expect(() => openResult(folder, "result")).toThrow(/cannot write the result: EISDIR/);
  });
});

test("--from chooses the client's address, --window how many wait for their first greeting", async () => {
  const server = await Server.start({ children: 30, work: "sleep:300ms" });
  const running = server.client(30, "arijort:f", "--from", "127.0.0.9", "--window", "4");
  await until("all children work", () => server.count("working") === 30);
  const peers = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, local, , state]) => local === hexAddress("127.0.0.1", server.port) && state === "01",
    )
    .map(([, , remote = ""]) => remote.slice(0, 8));
  expect(peers).toEqual(Array(30).fill(hexAddress("127.0.0.9", 0).slice(0, 8)));
  expect((await running).requests).toEqual({ sent: 30, verified: 30, failed: 0 });
  await server.stop();
});

/** An address as /proc/net/tcp writes it on a little-endian machine. */
function hexAddress(address: string, port: number): string {
  const hex = (number: number, digits: number) =>
    number.toString(16).toUpperCase().padStart(digits, "0");
  const bytes = address.split(".").map(Number).reverse();
  return `${bytes.map((byte) => hex(byte, 2)).join("")}:${hex(port, 4)}`;
}

test("--histograms can be merged; --beyond tells what replies took beyond the work", async () => {
  const server = await Server.start({ children: 4, work: "sleep:100ms" });
  const args = ["--beyond", "100ms", "--histograms", "--requests", "3"];
  const result = await server.client(4, "arijort:h", ...args);
  const merged = new Latency();
  merged.merge(result.histograms?.reply ?? "");
  expect(merged.percentiles()).toEqual(result.replyMs);
  merged.merge(result.histograms?.reply ?? "");
  expect(merged.percentiles().count).toBe(24);
  const { beyondMs, replyMs } = result;
  expect(beyondMs?.count).toBe(12);
  expect(Math.abs(replyMs.max - 100 - (beyondMs?.max ?? 0))).toBeLessThan(1);
  expect(await server.client(1, "arijort:h")).not.toHaveProperty("beyondMs");
  await server.stop();
});

test("--stop-at-eof ends a client with the process that started it", async () => {
  const server = await Server.start({ children: 2, work: "sleep:10m", args: ["--grace", "0"] });
  const client = new Command([
    ...["client", "127.0.0.1", String(server.port), "2", "arijort:e", "--json", "--stop-at-eof"],
  ]);
  await until("both children work", () => server.count("working") === 2);
  client.closeInput();
  const { code, stdout } = await client.end();
  expect(code).toBe(130);
  expect(JSON.parse(stdout)).toMatchObject({ interrupted: true, requests: { sent: 2 } });
  await server.stop();
});

test.each([
  ["exits", "process.exit(7)", 7],
  ["fails", 'throw new Error("in the middle")', 1],
])("a process that %s in the middle of a load ends with its own code", async (_, does, code) => {
  const server = await Server.start({ children: 4 });
  const script = join(temporaryFolder(), "in-the-middle.cjs");
  writeFileSync(script, `process.on("SIGUSR2", () => { ${does}; });`);
  const client = new Command(
    ["client", "127.0.0.1", String(server.port), "4", "arijort:lalala", "--duration", "60s"],
    process.execPath,
    { NODE_OPTIONS: `--require ${script}` },
  );
  await until("a part of the requests is done", () => server.scoreboard.total() > 100);
  client.kill("SIGUSR2");
  expect(await client.end()).toMatchObject({ code, signal: null });
  await server.stop();
});

test("the mutex on a SharedArrayBuffer loses no addition among threads", async () => {
  const file = join(temporaryFolder(), "adder.cjs");
  await build({
    stdin: {
      contents: `
        import { workerData } from "node:worker_threads";
        import { Shared } from "./src/client/mutex";
        const shared = new Shared(workerData);
        shared.arrive(4);
        for (let i = 0; i < 20000; i++) shared.add(1, 2);`,
      resolveDir: process.cwd(),
      loader: "ts",
    },
    bundle: true,
    platform: "node",
    outfile: file,
  });
  const shared = Shared.create();
  const threads = Array.from({ length: 4 }, () => new Worker(file, { workerData: shared.memory }));
  await Promise.all(
    threads.map((thread) => new Promise((resolve) => thread.once("exit", resolve))),
  );
  expect(shared.add(0, 0)).toEqual({ handled: 80_000, settled: 160_000 });
});
