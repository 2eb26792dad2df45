/**
 * Random input against a live server, until it has served 50,000 lines of it, or as many as
 * KILOFORK_TEST_INPUTS says. No child dies, a client that reads its answers gets them byte for byte,
 * and the books balance.
 */
import { randomInt } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { LONGEST_USER, parseRequest, refusalLines } from "../src/base/protocol";
import { processPer } from "./support/command";
import { Random } from "./support/random";
import { Server } from "./support/server";

const INPUTS = Number(process.env.KILOFORK_TEST_INPUTS ?? 50_000);
const SEED = Number(process.env.KILOFORK_TEST_SEED ?? randomInt(2 ** 31));
const CHILDREN = 12;
/** More than there are children, so that some wait in the queue. */
const CLIENTS = 16;
const MAX_LINE = 1024;
const USERS = ["arijort", "foobar"];

const NEWLINE = 0x0a;
const COLON = 0x3a;
const PIECES = [
  '"',
  "\\",
  "\r",
  "\0",
  ":",
  "\x1b[2J",
  "\xc2\x85",
  "\xed\xa0\x80",
  "\xe2\x82",
].concat([
  "<torn>",
  "2026.11.23 07:07:28.123456789 -- Server stop",
  '" from user root',
  "{message}",
]);

class RandomBytes extends Random {
  /** Any bytes but newlines. */
  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) {
      const byte = this.below(255);
      bytes[i] = byte < NEWLINE ? byte : byte + 1;
    }
    return bytes;
  }

  message(longest: number): Buffer {
    const length = this.below(this.below(50) === 0 ? longest + 1 : 30);
    if (this.below(3) > 0) return this.bytes(length);
    const pieces = Array.from({ length: this.below(5) }, () => this.oneOf(PIECES));
    return Buffer.from(pieces.join(""), "latin1").subarray(0, longest);
  }
}

/** How a client behaves after the lines that are to be served. */
const ENDINGS = [
  "end", // sends an end of file and reads all
  "last line", // likewise, and its last line lacks the newline
  "garbage", // a line that is to be refused, then more
  "garbage",
  "giant", // no newline for far too long
  "half", // half a line, then it closes
  "reset", // half a line, then it resets
  "deaf", // reads nothing, and resets
] as const;

interface Speech {
  readonly bytes: Buffer;
  /** Lines that are answered: user and message. */
  readonly served: readonly { user: string; message: Buffer }[];
  readonly ending: (typeof ENDINGS)[number];
  /** The code of the refusal that comes last. */
  readonly refusal: keyof ReturnType<typeof refusalLines> | null;
}

function compose(random: RandomBytes): Speech {
  const served: { user: string; message: Buffer }[] = [];
  const bytes: Buffer[] = [];
  const ending = random.oneOf(ENDINGS);
  const add = (newline: string) => {
    const user = random.oneOf(USERS);
    const message = random.message(MAX_LINE - user.length - ":".length - "\r\n".length);
    const line = Buffer.concat([Buffer.from(`${user}:`), message]);
    bytes.push(line, Buffer.from(newline));
    const parsed = parseRequest(line, newline === "\n");
    served.push({ user, message: newline === "\r\n" ? message : (parsed?.message ?? message) });
  };
  for (let left = random.below(random.below(4) === 0 ? 300 : 60); left > 0; left--)
    add(random.oneOf(["\n", "\n", "\r\n"]));
  let refusal: Speech["refusal"] = null;
  if (ending === "last line") {
    add("");
  } else if (ending === "garbage") {
    const line = refusable(random);
    refusal = parseRequest(line, true) ? "unauthorized" : "protocol";
    if (line.length >= MAX_LINE) refusal = "too-long";
    bytes.push(line, Buffer.from("\n"), random.bytes(random.below(5000)));
  } else if (ending === "giant") {
    refusal = "too-long";
    bytes.push(random.bytes(MAX_LINE + random.below(random.oneOf([10, 1000, 100_000]))));
  } else if (ending !== "end") {
    bytes.push(Buffer.from("arij"), random.bytes(random.below(100)));
  }
  return { bytes: Buffer.concat(bytes), served, ending, refusal };
}

/** A line, without its newline, that the server must refuse. */
function refusable(random: RandomBytes): Buffer {
  const line = random.bytes(random.below(random.oneOf([5, 60, 2000])));
  const kind = random.below(4);
  if (kind === 0) return Buffer.concat([random.bytes(1 + random.below(LONGEST_USER)), line]);
  if (kind === 1)
    return Buffer.concat([
      Buffer.from(random.oneOf(["arijort ", "Foobar", "", "root"])),
      Buffer.of(COLON),
      line,
    ]);
  if (kind === 2) return Buffer.from("x".repeat(random.below(40)));
  return line;
}

/** Sends the lines in pieces of random lengths; returns what came back. */
async function converse(port: number, { ending, bytes, refusal }: Speech, random: RandomBytes) {
  const received: Buffer[] = [];
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => {}); // the bytes that came show what was lost
  if (ending !== "deaf") socket.on("data", (data) => received.push(data));
  socket.on("end", () => socket.end());

  const most = Math.ceil(bytes.length / random.oneOf([1, 5, 50]));
  for (let at = 0; at < bytes.length && !socket.destroyed; ) {
    const piece = bytes.subarray(at, at + 1 + random.below(most));
    at += piece.length;
    const isTaken = socket.write(piece);
    if (!isTaken && ending !== "deaf")
      await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed]);
    else if (random.below(4) === 0) await new Promise(setImmediate);
  }
  if (ending === "end" || ending === "last line") socket.end();
  else if (ending === "half") socket.destroySoon();
  else if (refusal === null) {
    if (random.below(2) === 0) await sleep(random.below(5));
    socket.resetAndDestroy();
  }
  await closed;
  return Buffer.concat(received);
}

function answersTo({ served, refusal }: Speech, pid: string): Buffer {
  const parts: Buffer[] = [Buffer.from(`this is server thread ${pid}\n`)];
  for (const { user, message } of served)
    parts.push(
      Buffer.from(`server ${pid} recvd message "`),
      message,
      Buffer.from(`" from user ${user}\n`),
    );
  if (refusal) parts.push(Buffer.from(`${refusalLines(MAX_LINE)[refusal]}\n`));
  return Buffer.concat(parts);
}

function mayLackAnswers({ ending }: Speech): boolean {
  return ending === "half" || ending === "reset" || ending === "deaf";
}

/** Compares the common length. After its answers, half a line may have been refused. */
function isCommon(a: Buffer, b: Buffer): boolean {
  const length = Math.min(a.length, b.length);
  return a.subarray(0, length).equals(b.subarray(0, length));
}

/** With a process for each request, each reply has a pid of its own: puts another in its place. */
function withPid(received: Buffer, pid: string): Buffer {
  const text = received
    .toString("latin1")
    .replace(/\nserver \d*$/, "\nserver ")
    .replace(/\nserver \d+ /g, `\nserver ${pid} `);
  return Buffer.from(text, "latin1");
}

/** A client that reads to the end gets all answers, the others a part. */
function check(speech: Speech, bytes: Buffer): void {
  const [, pid = ""] = /^this is server thread (\d+)\n/.exec(bytes.toString("latin1")) ?? [];
  const received = processPer === "request" ? withPid(bytes, pid) : bytes;
  const expected = answersTo(speech, pid);
  const isRight = mayLackAnswers(speech)
    ? pid === "" || isCommon(received, expected)
    : received.equals(expected);
  if (!isRight)
    expect(received.toString("latin1"), `seed ${SEED}, ${speech.ending}`).toBe(
      expected.toString("latin1"),
    );
}

test(`${INPUTS} random lines cost no child`, { timeout: 60_000 + INPUTS }, async () => {
  const server = await Server.start({ children: CHILDREN });
  await server.untilIdle();
  const pids = () => server.slots().map(({ pid }) => pid);
  const before = pids();
  let answered = 0;
  let refused = 0;
  const behave = async (client: number) => {
    const random = new RandomBytes(SEED + client);
    while (server.scoreboard.total() < INPUTS) {
      const speech = compose(random);
      check(speech, await converse(server.port, speech, random));
      if (mayLackAnswers(speech)) continue;
      answered += speech.served.length;
      if (speech.refusal) refused++;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, (_, client) => behave(client)));

  await server.untilIdle();
  expect(pids()).toEqual(before);
  expect(server.tally()).toEqual({ forked: CHILDREN, ended: 0, alive: CHILDREN });
  const client = await server.client(2 * CHILDREN, "arijort:still here", "--requests", "10");
  expect(client.requests).toMatchObject({ verified: 20 * CHILDREN, failed: 0 });
  await server.stop();
  const { problems, runs } = server.audit();
  expect(problems).toEqual([]);
  const ledger = runs[0]?.ledger;
  expect(ledger).toMatchObject({ died: 0, left: CHILDREN, unfinished: 0 });
  expect(ledger?.counted).toBe(ledger?.completed);
  expect(ledger?.counted).toBeGreaterThanOrEqual(answered + 20 * CHILDREN);
  const refusals = Object.values(ledger?.refused ?? {}).reduce((sum, count) => sum + count, 0);
  expect(refusals).toBeGreaterThanOrEqual(refused);
});
