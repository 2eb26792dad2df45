/** Reads files as one stream of lines, in chunks, without making strings. */
import { closeSync, openSync, readSync } from "node:fs";
import { unjudgeable } from "../errors";

const CHUNK_BYTES = 1 << 20;
const NEWLINE = 0x0a;

/**
 * Calls `onLine(bytes, start, end, offset, ended)` for every line: bytes[start, end) without its
 * newline, `offset` where it begins in its file. The last line of a file may lack its newline; then
 * `ended` is false. The bytes are valid during the call only.
 */
export function readLines(
  path: string,
  onLine: (bytes: Buffer, start: number, end: number, offset: number, ended: boolean) => void,
): void {
  const fd = open(path);
  try {
    let buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let held = 0; // bytes at the start of the buffer that belong to an unfinished line
    let offset = 0; // of the buffer's first byte in the file
    for (;;) {
      if (held === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
      const got = read(fd, buffer, held, path);
      if (got === 0) break;
      const filled = held + got;
      let start = 0;
      for (;;) {
        const end = buffer.indexOf(NEWLINE, Math.max(start, start === 0 ? held : 0));
        if (end < 0 || end >= filled) break;
        onLine(buffer, start, end, offset + start, true);
        start = end + 1;
      }
      buffer.copyWithin(0, start, filled);
      held = filled - start;
      offset += start;
    }
    if (held > 0) onLine(buffer, 0, held, offset, false);
  } finally {
    closeSync(fd);
  }
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw unjudgeable(`cannot read the log: ${(error as Error).message}`);
  }
}

function read(fd: number, buffer: Buffer, at: number, path: string): number {
  try {
    return readSync(fd, buffer, at, buffer.length - at, null);
  } catch (error) {
    throw unjudgeable(`cannot read the log ${path}: ${(error as Error).message}`);
  }
}
