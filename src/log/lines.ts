/** Reads a file line by line, in chunks, without making strings. */
import { closeSync, openSync, readSync } from "node:fs";
import { KiloforkError } from "../base/errors";

const BUFFER_BYTES = 1 << 20;
/** Far more than the longest record. */
const LONGEST_LINE = BUFFER_BYTES / 2;
const NEWLINE = 0x0a;

/** A line is bytes[start, end), without its newline. The object is reused: valid during the call. */
export interface Line {
  readonly bytes: Buffer;
  start: number;
  end: number;
  /** Its offset in the file. */
  offset: number;
  /** False for the last line of a file that lacks its newline. */
  ended: boolean;
  /** Bytes missing at the start: of a line longer than any record, only the end is kept. */
  cut: number;
}

/** Throws ERR_UNREADABLE. */
export function readLines(path: string, onLine: (line: Line) => void): void {
  const fd = open(path);
  try {
    const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
    const line: Line = { bytes: buffer, start: 0, end: 0, offset: 0, ended: true, cut: 0 };
    let held = 0; // bytes at the start of the buffer that belong to an unfinished line
    for (;;) {
      if (held === BUFFER_BYTES) {
        held = buffer.copy(buffer, 0, BUFFER_BYTES - LONGEST_LINE);
        line.cut += BUFFER_BYTES - LONGEST_LINE;
      }
      const got = read(fd, buffer, held, path);
      if (got === 0) break;
      if (line.offset === 0 && held === 0 && line.cut === 0)
        refuseCompressed(buffer.subarray(0, got), path);
      const filled = held + got;
      line.start = 0;
      for (;;) {
        line.end = buffer.indexOf(NEWLINE, line.start === 0 ? held : line.start);
        if (line.end < 0 || line.end >= filled) break;
        onLine(line);
        line.offset += line.cut + line.end + 1 - line.start;
        line.start = line.end + 1;
        line.cut = 0;
      }
      buffer.copyWithin(0, line.start, filled);
      held = filled - line.start;
    }
    line.start = 0;
    line.end = held;
    line.ended = false;
    if (held > 0) onLine(line);
  } finally {
    closeSync(fd);
  }
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new KiloforkError("ERR_UNREADABLE", `cannot read the log: ${(error as Error).message}`);
  }
}

/** The first bytes of compressed files, and the programs that read them. */
const COMPRESSED: readonly (readonly [first: readonly number[], program: string])[] = [
  [[0x1f, 0x8b], "zcat"],
  [[0x28, 0xb5, 0x2f, 0xfd], "zstdcat"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "xzcat"],
  [[0x42, 0x5a, 0x68], "bzcat"],
];

function refuseCompressed(start: Buffer, path: string): void {
  for (const [first, program] of COMPRESSED)
    if (first.every((byte, i) => start[i] === byte))
      throw new KiloforkError(
        "ERR_UNREADABLE",
        `the log ${path} is compressed: give <(${program} FILE), or save what ${program} prints`,
      );
}

function read(fd: number, buffer: Buffer, at: number, path: string): number {
  try {
    return readSync(fd, buffer, at, buffer.length - at, null);
  } catch (error) {
    throw new KiloforkError(
      "ERR_UNREADABLE",
      `cannot read the log ${path}: ${(error as Error).message}`,
    );
  }
}
