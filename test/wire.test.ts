/** The protocol: its rules, bad input, and clients of other programs. */
import { readFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { Command, processPer } from "./support/command";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";
import { vectors } from "./support/vectors";
import { until } from "./support/wait";

test("a live server answers every vector accordingly, and records it", async () => {
  const server = await Server.start({ children: 1 });
  for (const { name, line, ended, user, message, refusal, logged } of vectors) {
    const client = await RawClient.greeted(server.port);
    client.send(ended ? `${line}\n` : line);
    client.finish();
    const [, answer] = (await client.rest()).split("\n");
    await client.close();
    if (refusal !== undefined) {
      expect(answer, name).toMatch(new RegExp(`^error ${refusal}: \\S`));
      continue;
    }
    expect(answer, name).toBe(`server ${client.pid} recvd message "${message}" from user ${user}`);
    const log = readFileSync(server.log, "latin1");
    expect(log, name).toContain(
      `server ${client.pid} recvd message "${logged}" from user ${user}\n`,
    );
    expect(log, name).toContain(`completed req "${logged}" on ${client.pid} total reqs `);
  }
  expect(server.records(/have child pid/)).toHaveLength(1);
  await server.stop();
  expect(server.audit().problems).toEqual([]);
});

describe("a connection", () => {
  let server: Server;
  beforeEach(async () => {
    server = await Server.start({
      children: 4,
      args: ["--idle-timeout", "300ms", "--read-timeout", "400ms", "--write-timeout", "400ms"],
    });
  });

  /** Checks that all children are there and wait for the next client. */
  async function expectNoChildLost(before: number[]) {
    await server.untilIdle();
    expect(pids()).toEqual(before);
    await server.stop();
  }
  const pids = () => server.slots().map(({ pid }) => pid);

  test("takes several requests, pipelined and split at every byte, and answers in order", async () => {
    const before = pids();
    const client = await RawClient.greeted(server.port);
    const requests = "arijort:a\nfoobar:b\r\narijort:c\n";
    client.socket.setNoDelay(true);
    for (const byte of requests) client.send(byte);
    client.send(requests.repeat(50));
    client.finish();
    const replies = (await client.rest()).split("\n").slice(1, -1);
    const expected = ["a", "b", "c"].map(
      (m) => `server PID recvd message "${m}" from user ${m === "b" ? "foobar" : "arijort"}`,
    );
    expect(replies.map((reply) => reply.replace(/\d+/, "PID"))).toEqual(
      Array.from({ length: 51 }, () => expected).flat(),
    );
    const servers = new Set(replies.map((reply) => Number(/\d+/.exec(reply)?.[0])));
    expect(processPer === "request" ? before : [client.greeter]).toEqual(
      expect.arrayContaining([...servers]),
    );
    await client.close();
    await expectNoChildLost(before);
  });

  test("that has shut its sending side still gets its replies, the last line without newline too", async () => {
    const client = new RawClient(server.port);
    client.send("arijort:one\narijort:two");
    client.finish();
    const lines = (await client.rest()).split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[2]).toContain('"two"');
    await client.close();
    await server.stop();
  });

  test("a line of 1024 bytes with its newline is served, one byte more is not", async () => {
    const before = pids();
    const fits = "x".repeat(1024 - "arijort:\n".length);
    const client = await RawClient.greeted(server.port);
    client.send(`arijort:${fits}\n`);
    expect((await client.lines(2))[1]).toContain(`"${fits}"`);
    client.send(`arijort:${fits}y\n`);
    expect(await client.rest()).toMatch(/\nerror too-long: a line has at most 1024 bytes.*\n$/);
    await client.close();
    await expectNoChildLost(before);
  });

  test("an endless line gets its error although the client goes on sending", async () => {
    const before = pids();
    const client = await RawClient.greeted(server.port);
    client.send("y".repeat(300_000));
    expect(await client.rest()).toMatch(/\nerror too-long: .*\n$/);
    await client.close();
    await expectNoChildLost(before);
  });

  test("after a refusal nothing more is served", async () => {
    const client = await RawClient.greeted(server.port);
    client.send("root:x\narijort:y\n");
    const lines = (await client.rest()).split("\n");
    expect(lines[1]).toMatch(/^error unauthorized: /);
    expect(lines).toHaveLength(3);
    await client.close();
    expect(server.records(/authorization error: user "root" on \d+$/)).not.toHaveLength(0);
    await server.stop();
  });

  test("that sends nothing gets its error after the idle time-out", async () => {
    const before = pids();
    const client = await RawClient.greeted(server.port);
    expect(await client.rest()).toMatch(/^this is server thread \d+\nerror timeout: .*\n$/);
    await client.close();
    await expectNoChildLost(before);
  });

  test("that sends a byte now and then is ended by the read time-out", async () => {
    const before = pids();
    const client = await RawClient.greeted(server.port);
    const drip = setInterval(() => client.send("a"), 50);
    expect(await client.rest()).toMatch(/error timeout: .*\n$/);
    clearInterval(drip);
    await client.close();
    await expectNoChildLost(before);
  });

  test("whose client never reads its replies is closed after the write time-out", async () => {
    const before = pids();
    const client = await RawClient.greeted(server.port);
    client.socket.pause();
    const request = `arijort:${"z".repeat(1000)}\n`;
    const pump = () => {
      while (!client.socket.destroyed && client.socket.write(request.repeat(50)));
    };
    client.socket.on("drain", pump);
    pump();
    await until("the child is free again", () =>
      server.slots().every(({ state }) => state === "idle"),
    );
    await client.close();
    await expectNoChildLost(before);
  });

  test("that is reset, at any point of the exchange, costs no child", async () => {
    const before = pids();
    for (const said of ["", "arij", "arijort:x\n", "arijort:x\narijort:y\narijort:z"]) {
      for (let i = 0; i < 25; i++) {
        const client =
          i % 2 === 0 ? await RawClient.greeted(server.port) : new RawClient(server.port);
        client.send(said);
        client.reset();
      }
    }
    await expectNoChildLost(before);
  });
});

describe("clients of other programs", () => {
  const conversation =
    processPer === "request"
      ? /^this is server thread \d+\nserver \d+ recvd message "hi" from user arijort\n$/
      : /^this is server thread (\d+)\nserver \1 recvd message "hi" from user arijort\n$/;

  test.each([
    ["nc", (port: number) => `printf 'arijort:hi\\n' | nc -q 2 -w 5 127.0.0.1 ${port}`],
    ["nc -N", (port: number) => `printf 'arijort:hi\\n' | nc -N -w 5 127.0.0.1 ${port}`],
    ["socat", (port: number) => `printf 'arijort:hi\\n' | socat -t 5 - TCP:127.0.0.1:${port}`],
    [
      "a shell with /dev/tcp",
      (port: number) =>
        `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'arijort:hi\\n' >&3; head -n 2 <&3; exec 3>&-`,
    ],
    [
      "python3",
      (port: number) =>
        `python3 -c 'import socket,sys; s=socket.create_connection(("127.0.0.1",${port})); s.sendall(b"arijort:hi"); s.shutdown(1); sys.stdout.write(s.makefile().read())'`,
    ],
  ])("%s", async (name, script) => {
    const [tool = ""] = name.split(" ");
    const { code: there } = await new Command(["-c", `command -v ${tool}`], "bash").end();
    // On CI they are installed; elsewhere a missing program is no failure.
    if (tool !== "a" && there !== 0)
      return expect(process.env.CI, `${tool} is missing`).toBeUndefined();
    const server = await Server.start({ children: 2, work: "sleep:50ms" });
    const { stdout } = await new Command(["-c", script(server.port)], "bash").end();
    expect(stdout).toMatch(conversation);
    await server.stop();
  });
});
