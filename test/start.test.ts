/** What comes while a server starts: signals, orders, a predecessor that is ending. */
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ourProcesses, temporaryFolder } from "./support/cleanup";
import { Command, run } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { until } from "./support/wait";

/** An environment in which the front runs this code before its own. */
function before(code: string): NodeJS.ProcessEnv {
  const file = join(temporaryFolder(), "before.cjs");
  writeFileSync(file, code);
  return { NODE_OPTIONS: `--inspect-port=0 --require=${file}` };
}

const signalled = (signal: NodeJS.Signals) => `process.kill(process.pid, "${signal}");`;

describe("SIGUSR1 before the first line of the program", () => {
  const refuses = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", () => resolve(true));
      socket.once("connect", () => resolve(socket.destroy() === undefined));
    });
  const debuggerPort = (stderr: string) =>
    Number(/Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(stderr)?.[1]);

  test("does not leave Node's debugger open", async () => {
    const server = await Server.start({ children: 1, env: before(signalled("SIGUSR1")) });
    const port = debuggerPort(server.command.stderr);
    expect(port).toBeGreaterThan(0);
    expect(await refuses(port)).toBe(true);
    server.command.kill("SIGUSR1");
    await until("the order is answered", () => server.scoreboard.header().answers.reopen.count > 0);
    expect(debuggerPort(server.command.stderr)).toBe(port); // no other was opened
    await server.stop();
  });

  test("leaves a debugger open that an option has asked for", async () => {
    const server = await Server.start({ children: 1, env: { NODE_OPTIONS: "--inspect=0" } });
    expect(await refuses(debuggerPort(server.command.stderr))).toBe(false);
    await server.stop();
  });
});

test("orders that come as signals while it starts are carried out when it is up, each once", async () => {
  const signals = ["SIGHUP", "SIGUSR2", "SIGUSR1", "SIGHUP"] as const;
  const early = `setImmediate(() => { ${signals.map(signalled).join(" ")} });`;
  const server = await Server.start({ children: 3, env: before(early) });
  await until("the children are replaced", () => server.scoreboard.header().ended.replaced === 3);
  const { reload, reopen, replace } = server.scoreboard.header().answers;
  expect([reload.count, reopen.count, replace.count]).toEqual([1, 1, 1]);
  await server.stop();
});

test("ctl says that a server is starting; its order is carried out when the server is up", async () => {
  const stopSupervisor = `
    const { readFileSync, readdirSync } = require("node:fs");
    const children = () => readFileSync("/proc/self/task/" + process.pid + "/children", "utf8");
    const look = () => {
      for (const pid of children().split(" ").filter(Number))
        if (readFileSync("/proc/" + pid + "/comm", "utf8").startsWith("kilofork-superv"))
          return process.kill(Number(pid), "SIGSTOP");
      setImmediate(look);
    };
    setImmediate(look);`;
  const log = join(temporaryFolder(), "log");
  const args = ["serve", "127.0.0.1", "0", "--children", "100", "--log", log];
  const server = new Command(args, undefined, before(stopSupervisor));
  const [supervisor = 0] = await until("there is a supervisor", () => {
    const pids = ourProcesses(/^kilofork-superv/);
    return pids.length > 0 ? pids : undefined;
  });
  const pid = ["--pid", String(server.pid)];
  const { code, stderr } = await run("ctl", "reload", ...pid, "--timeout", "100ms");
  expect(stderr).toContain("the server is starting");
  expect(code).toBe(1);
  process.kill(supervisor, "SIGCONT");
  await until("the order is carried out", () => /no users file to read/.test(server.stderr));
  expect(server.stderr.indexOf("listening on")).toBeLessThan(
    server.stderr.indexOf("no users file"),
  );
  server.kill("SIGTERM");
  expect((await server.end()).code).toBe(0);
});

describe("a restart at once", () => {
  const start = (port: number, log: string) =>
    new Command(["serve", "127.0.0.1", String(port), "--children", "2", "--log", log]);
  const restart = async (before: Server, log: string, port = before.port) => {
    const after = start(port, log);
    await until("it waits", () => after.stderr.includes(`(pid ${before.front}) is ending`));
    return after;
  };

  test.each([
    ["SIGKILL", "port and log"],
    ["SIGTERM", "port"],
    ["SIGTERM", "log"],
  ] as const)(
    "after %s to the front waits for its %s until the requests in work are done",
    async (signal, same) => {
      const before = await Server.start({ children: 2, work: "sleep:2s" });
      const client = await RawClient.greeted(before.port);
      client.send("arijort:x\n");
      await until("a child works", () => before.count("working") === 1);
      before.command.kill(signal);
      const log = same === "port" ? join(temporaryFolder(), "log") : before.log;
      const after = await restart(before, log, same === "log" ? 0 : before.port);
      expect((await client.lines(2))[1]).toContain('"x"');
      await until("it is up", () => after.stderr.includes("listening on"));
      expect(after.stderr.match(/is ending/g)).toHaveLength(1);
      await client.close();
      after.kill("SIGTERM");
      expect((await after.end()).code).toBe(0);
    },
  );

  test("does not wait for a server that runs on", async () => {
    const before = await Server.start({ children: 2 });
    for (const [port, log] of [
      [before.port, join(temporaryFolder(), "log")],
      [0, before.log],
    ] as const) {
      const { code, stderr } = await start(port, log).end();
      expect(stderr).toMatch(/^kilofork: cannot .*another (program|server).*\n$/);
      expect(code).toBe(1);
    }
    await before.stop();
  });

  test("is stopped while it waits, and waits no longer than the grace of the other", async () => {
    const before = await Server.start({ children: 2, work: "sleep:10m", args: ["--grace", "2s"] });
    const { supervisor } = before;
    const client = await RawClient.greeted(before.port);
    client.send("arijort:x\n");
    await until("a child works", () => before.count("working") === 1);
    before.command.kill("SIGKILL");
    // It continues a supervisor that is stopped when it dies, so stop that afterwards.
    await until("the supervisor stops", () => before.scoreboard.header().stopping);
    process.kill(supervisor, "SIGSTOP");
    const log = join(temporaryFolder(), "log");
    const stopped = await restart(before, log);
    stopped.kill("SIGTERM");
    expect((await stopped.end()).code).toBe(0);
    const patient = await restart(before, log);
    expect(await patient.end()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("another program listens there"),
    });
    process.kill(supervisor, "SIGCONT");
    await client.close();
  });
});
