/**
 * The rules of the protocol and its texts (docs/protocol.md). Native code gets the texts as data: the
 * supervisor as settings, the load engine as three templates and the beginning of a refusal.
 */
import type { Refusal } from "./enumerations";
import { KiloforkError } from "./errors";

/** What has a process of its own in a server; the first is the default. */
export const PROCESS_PER = ["connection", "request"] as const;
export type ProcessPer = (typeof PROCESS_PER)[number];

export const DEFAULT_HOST = "localhost";
export const DEFAULT_PORT = 31337;
export const DEFAULT_USERS: readonly string[] = ["arijort", "foobar"];
export const LONGEST_USER = 31;
/** Bytes of a request line, its newline included. */
export const DEFAULT_MAX_LINE = 1024;

export const GREETING = "this is server thread {pid}";
/** How the line begins that a refused client gets; the code follows. */
export const REFUSAL = "error ";
export const REPLY = 'server {pid} recvd message "{message}" from user {user}';

/** The line that a refused client gets, for each code. */
export function refusalLines(maxLine: number): Record<Refusal, string> {
  const text: Record<Refusal, string> = {
    protocol: "expected <username>:<message>, the name 1 to 31 bytes long",
    unauthorized: "no such user",
    "too-long": `a line has at most ${maxLine} bytes, newline included`,
    timeout: "no complete line in time",
    unavailable: "the request could not be recorded, try again later",
    "shutting-down": "the server is being stopped",
    busy: "too many connections from your address",
  };
  return Object.fromEntries(
    Object.entries(text).map(([code, words]) => [code, `${REFUSAL}${code}: ${words}`]),
  ) as Record<Refusal, string>;
}

export interface Request {
  readonly user: Buffer;
  readonly message: Buffer;
}

/**
 * Parses a line without its newline, as native/core/base/protocol.cpp does. Returns null if it is no
 * request. `ended`: the line had a newline; then a carriage return before it is dropped.
 */
export function parseRequest(line: Buffer, ended: boolean): Request | null {
  const end = ended && line.at(-1) === 0x0d ? line.length - 1 : line.length;
  const colon = line.subarray(0, end).indexOf(":");
  if (colon < 1 || colon > LONGEST_USER) return null;
  return { user: line.subarray(0, colon), message: line.subarray(colon + 1, end) };
}

/** Checks a user name. Returns what is wrong with it, or null. */
export function problemOfUser(name: string): string | null {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > LONGEST_USER) return `has ${bytes} bytes, allowed are 1 to 31`;
  // Log and reply contain the name without quotes, so it must not look like the text around it.
  if (/[\s:"\\\p{C}]/u.test(name)) return "contains a space, colon, quote, backslash or control";
  if (name.includes("<torn>")) return "contains <torn>, the log's mark of a torn record";
  return null;
}

/**
 * The load engine's templates for a message. `longestNumber`: the longest text that `{n}` stands for.
 * Throws ERR_ARGUMENT if the message is no request, or too long.
 */
export function clientTemplates(
  message: string,
  longestNumber: string,
): { greeting: string; request: string; reply: string } {
  const request = message.includes("\n") ? null : parseRequest(Buffer.from(message), false);
  if (!request)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `the message "${message}" does not conform to the protocol: <username>:<message> in one line, the name 1 to 31 bytes long`,
    );
  const longest = Buffer.byteLength(`${message} ${longestNumber}\n`);
  if (longest > DEFAULT_MAX_LINE)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `the message makes lines of ${longest} bytes with its number, allowed are ${DEFAULT_MAX_LINE}`,
    );
  const literal = (text: string | Buffer) => text.toString().replaceAll("{", "{{");
  const fields = { user: literal(request.user), message: `${literal(request.message)} {n}` };
  // In one pass: a message may have the name of a field in it.
  const reply = REPLY.replaceAll(
    /\{(user|message)\}/g,
    (_, name: keyof typeof fields) => fields[name],
  );
  return {
    greeting: `${GREETING}\n`,
    request: `${literal(message)} {n}\n`,
    reply: `${reply}\n`,
  };
}
