/** Properties of any bytes: of messages, of lines of the log, and of segments of a network. */
import { closeSync, openSync, readSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClientResult } from "../src/client/load";
import { Kind, RecordParser } from "../src/log/record";
import { run } from "./support/command";
import { type Cuts, CuttingProxy, everyByte, lengths, onlyAt } from "./support/proxy";
import { Server } from "./support/server";
import { RawClient } from "./support/socket";

const TIME = "2026.11.23 07:07:28.123456789";
const USER = "arijort";
const LONGEST_MESSAGE = 1024 - `${USER}:\n`.length;

/** Pieces with a meaning to the protocol, the log, its reader, or a terminal. */
const PIECES = [
  ...['"', "\\", '\\"', "\\x0a", ":", "\r", "\0", "\t", " ", "x", "<torn>", "{pid}", "{{"],
  ...[
    "\x1b[2J",
    "\x7f",
    "\xc2\x85",
    "\xc3\xa9",
    "\xe2\x82\xac",
    "\xf0\x9f\x90\x8d",
    "\xed\xa0\x80",
  ],
  ...["\xc0\xaf", "\x80", "\xff", "\xe2\x82", `${TIME} -- `, " -- ", TIME, "Server init"],
  ...["Server stop", 'completed req "', '" on 4711 total reqs 1', "server 4711 recvd message "],
  ...[`" from user ${USER}`, "total requests 7", "child pid 4711 ended: signal 9, abnormal"],
  ...["child pid 4711 retires (idle)", "have child pid 4711", "pool: all is well", ", stopped"],
  ...[
    "front 4711 at 127.0.0.1:1, kilofork 0.1.0, UTC+00:00",
    "protocol error: timeout on 4711",
    "local time is UTC+00:00",
  ],
  ...['work timeout: req "', " after 3000 ms", 'authorization error: user "', " on 4711"],
];

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array)),
  fc.uint8Array({ maxLength: LONGEST_MESSAGE, size: "max" }).map((array) => Buffer.from(array)),
  fc
    .array(fc.constantFrom(...PIECES), { maxLength: 20 })
    .map((pieces) => Buffer.from(pieces.join(""), "latin1")),
);

/** A message that a client can send: no newline, no carriage return at the end, not too long. */
const message = bytes.map((any) => {
  const kept = any.filter((byte) => byte !== 0x0a).subarray(0, LONGEST_MESSAGE);
  let end = kept.length;
  while (kept[end - 1] === 0x0d) end--;
  return Buffer.from(kept.subarray(0, end));
});

/** The text as the log has it, in latin1: one character a byte. */
function escaped(text: Buffer): string {
  const isShown = (character: Buffer) => {
    const decoded = character.toString();
    return decoded >= "\u00a0" && Buffer.from(decoded).equals(character);
  };
  let out = "";
  for (let i = 0; i < text.length; ) {
    const byte = text[i] as number;
    const lead = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    const character = text.subarray(i, i + lead);
    if (byte >= 0x20 && byte < 0x7f) {
      out += (byte === 0x22 || byte === 0x5c ? "\\" : "") + String.fromCharCode(byte);
    } else if (lead > 1 && character.length === lead && isShown(character)) {
      out += character.toString("latin1");
      i += lead - 1;
    } else {
      out += `\\x${byte.toString(16).padStart(2, "0")}`;
    }
    i++;
  }
  return out;
}

const unescaped = (text: string) =>
  text.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex, character) =>
    hex === undefined ? character : String.fromCharCode(Number.parseInt(hex, 16)),
  );

/** The audit of a line. */
function read(line: string) {
  const parser = new RecordParser();
  const text = Buffer.from(line, "latin1");
  const isRecord = parser.parse(text, 0, text.length);
  const { kind, pid, count, messageStart, messageEnd } = parser.record;
  const between = text.toString("latin1", messageStart, messageEnd);
  return isRecord ? { kind, pid, count, between } : null;
}

/** Reads what is appended to a file. */
class Tail {
  private readonly fd: number;
  constructor(path: string) {
    this.fd = openSync(path, "r");
    this.next();
  }
  next(): string {
    const chunk = Buffer.alloc(1 << 16);
    let text = "";
    for (let got = -1; got !== 0; text += chunk.toString("latin1", 0, got))
      got = readSync(this.fd, chunk, 0, chunk.length, null);
    return text;
  }
  close(): void {
    closeSync(this.fd);
  }
}

describe("a record", () => {
  const PID = 4711;
  const kinds: readonly [Kind, (between: string) => string][] = [
    [Kind.received, (between) => `server ${PID} recvd message "${between}" from user ${USER}`],
    [Kind.completed, (between) => `completed req "${between}" on ${PID} total reqs 12`],
    [Kind.unauthorized, (between) => `authorization error: user "${between}" on ${PID}`],
    [Kind.expired, (between) => `work timeout: req "${between}" on ${PID} after 3000 ms`],
  ];
  const kind = fc.constantFrom(...kinds);
  const others = [
    ...["Server init", "Server stop", "total requests 12", `have child pid ${PID}`],
    ...[`have child pid ${PID} (spare low)`, `child pid ${PID} ended: signal 9, abnormal`],
    ...[`child pid ${PID} ended: idle, retired`, `child pid ${PID} retires (idle)`],
    ...[`protocol error: too-long on ${PID}`, "pool: all children are of generation 1"],
    ...[`front ${PID} at 127.0.0.1:31337, kilofork 0.1.0, UTC+01:00`],
  ];
  const line = fc.oneof(
    fc.tuple(kind, message).map(([[, frame], any]) => `${TIME} -- ${frame(escaped(any))}`),
    fc.constantFrom(...others).map((text) => `${TIME} -- ${text}`),
  );

  test("gives back any message, and is read as no other record", () => {
    fc.assert(
      fc.property(kind, message, ([is, frame], any) => {
        const between = escaped(any);
        expect(between).toMatch(/^[ -~\x80-\xff]*$/);
        expect(unescaped(between)).toBe(any.toString("latin1"));
        const record = read(`${TIME} -- ${frame(between)}`);
        expect(record).toMatchObject({ kind: is, pid: PID, between });
      }),
      { numRuns: 5000 },
    );
  });

  test("that is torn anywhere takes nothing from the record behind it", () => {
    const parser = new RecordParser();
    fc.assert(
      fc.property(line, line, fc.nat(), (torn, next, somewhere) => {
        const cut = 1 + (somewhere % torn.length);
        const text = Buffer.from(torn.slice(0, cut) + next, "latin1");
        expect(parser.parse(text, 0, text.length)).toBe(false);
        expect(parser.parseAfterTornHead(text, 0, text.length)).toBe(cut);
      }),
      { numRuns: 10_000 },
    );
  });

  test("that is torn anywhere is no record", () => {
    fc.assert(
      fc.property(kind, message, fc.nat(), ([, frame], any, somewhere) => {
        const whole = `${TIME} -- ${frame(escaped(any))}`;
        // A count or a name without its end is still one: only the missing newline tells.
        const shortest = whole.lastIndexOf('"') + 1;
        expect(read(whole.slice(0, somewhere % (shortest + 1)))).toBeNull();
      }),
      { numRuns: 5000 },
    );
  });
});

/** A client that sends lines on one connection to a server with one child, and returns their answers. */
class Conversation {
  private constructor(
    private readonly client: RawClient,
    readonly pid: number,
  ) {}

  static async begin(server: Server, port = server.port): Promise<Conversation> {
    const client = await RawClient.greeted(port);
    const pid = server.slots()[0]?.pid ?? 0;
    client.received = Buffer.alloc(0);
    return new Conversation(client, pid);
  }

  async ask(messages: readonly Buffer[], newline = "\n"): Promise<string> {
    this.client.send(messages.map((any) => `${USER}:${any.toString("latin1")}${newline}`).join(""));
    await this.client.lines(messages.length);
    const text = this.client.text;
    this.client.received = Buffer.alloc(0);
    return text;
  }

  expected(messages: readonly Buffer[]): string {
    return messages
      .map(
        (any) => `server ${this.pid} recvd message "${any.toString("latin1")}" from user ${USER}\n`,
      )
      .join("");
  }

  close(): Promise<void> {
    return this.client.close();
  }
}

test("any message comes back as it was sent, and leaves its two records and no other line", async () => {
  const server = await Server.start({ children: 1, args: ["--report-every", "0"] });
  await server.untilIdle();
  const conversation = await Conversation.begin(server);
  const { pid } = conversation;
  const log = new Tail(server.log);
  let count = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 12 }),
      fc.constantFrom("\n", "\r\n"),
      async (messages, newline) => {
        const fitting = messages.map((any) =>
          any.subarray(0, LONGEST_MESSAGE + 1 - newline.length),
        );
        expect(await conversation.ask(fitting, newline)).toBe(conversation.expected(fitting));
        const records = log.next().split("\n").slice(0, -1).map(read);
        const wanted = fitting.flatMap((any) => {
          const between = escaped(any);
          return [
            { kind: Kind.received, pid, between },
            { kind: Kind.completed, pid, between, count: ++count },
          ];
        });
        expect(records).toMatchObject(wanted);
      },
    ),
    { numRuns: 200, endOnFailure: true }, // after a failure the log has other lines
  );
  log.close();
  await conversation.close();
  await server.stop();
  const { problems, runs } = server.audit();
  expect(problems).toEqual([]);
  expect(runs[0]?.ledger).toMatchObject({ received: count, completed: count, counted: count });
});

describe("a network that cuts and merges segments", () => {
  /** The client and the server of kilofork, with other cuts for each connection. */
  async function expectAllServed(
    clients: number,
    args: readonly string[],
    cuts: (connection: number) => { up: Cuts; down: Cuts },
    pauseMs = 0,
  ) {
    const server = await Server.start({ children: 16 });
    const proxy = await CuttingProxy.start(server.port, { cuts, pauseMs });
    const { stdout, stderr } = await run(
      ...["client", "127.0.0.1", String(proxy.port), String(clients)],
      ...[`${USER}:"a\\é {pid}: €`, "--json", ...args],
    );
    await proxy.close();
    const result = JSON.parse(stdout || "{}") as ClientResult;
    expect(result.requests, stderr).toMatchObject({ failed: 0 });
    await server.stop();
    const { problems, runs } = server.audit(result);
    expect(problems).toEqual([]);
    expect(runs[0]?.ledger.completed).toBe(result.requests.verified);
    return result.requests.verified;
  }

  test("at each position once, in both directions, changes nothing for the client", async () => {
    const longest = [
      "this is server thread 4194304\n",
      `server 4194304 recvd message "x"a\\éé {pid}: €€€ 200" from user ${USER}\n`,
    ].join("").length;
    const at = (connection: number) => onlyAt(connection + 1);
    const served = await expectAllServed(
      longest,
      [],
      (connection) => ({ up: at(connection), down: at(connection) }),
      3,
    );
    expect(served).toBe(longest);
  });

  test("at every byte changes nothing for the client", async () => {
    const everywhere = { up: everyByte, down: everyByte };
    const args = ["--requests", "5"];
    expect(await expectAllServed(20, args, () => everywhere)).toBe(100);
  });

  test("at each position once changes nothing for the server", async () => {
    const server = await Server.start({ children: 8 });
    const lines = `${USER}:one\r\nfoobar:\n${USER}:\r:\xff"\0\n${USER}:last`;
    const proxy = await CuttingProxy.start(server.port, {
      cuts: (connection) => ({ up: onlyAt(connection + 1), down: onlyAt(connection + 1) }),
      pauseMs: 3,
    });
    const positions = Array.from({ length: lines.length }, async () => {
      // After the greeting, the child waits for bytes, and reads each segment as it comes.
      const client = await RawClient.greeted(proxy.port);
      client.send(lines);
      client.finish();
      const text = await client.rest();
      await client.close();
      const replies = ["one", "", '\r:\xff"\0', "last"].map(
        (any, i) => `server PID recvd message "${any}" from user ${i === 1 ? "foobar" : USER}\n`,
      );
      expect(text.replace(/^server \d+ /gm, "server PID ")).toBe(
        `this is server thread ${client.greeter}\n${replies.join("")}`,
      );
    });
    await Promise.all(positions);
    await proxy.close();
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });

  test("anywhere changes no message and no reply", async () => {
    const server = await Server.start({ children: 1 });
    const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 8 }),
        sizes,
        sizes,
        async (messages, up, down) => {
          const proxy = await CuttingProxy.start(server.port, {
            cuts: () => ({ up: lengths(up), down: lengths(down) }),
          });
          const conversation = await Conversation.begin(server, proxy.port);
          try {
            expect(await conversation.ask(messages)).toBe(conversation.expected(messages));
          } finally {
            await conversation.close();
            await proxy.close();
          }
        },
      ),
      { numRuns: 60 },
    );
    await server.stop();
    expect(server.audit().problems).toEqual([]);
  });
});
