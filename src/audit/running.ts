/** Reads what a running server has counted, from its shared memory. The server takes no part. */
import { statSync } from "node:fs";
import { KiloforkError } from "../base/errors";
import { numberedLog } from "../log/names";
import { findServer } from "../status/servers";

/**
 * Returns the server's count; undefined if it does not run, writes to another log, or belongs to another
 * user. Its requests go on: what it counted is in the log only if the log is read afterwards.
 */
export function countOfRunning(front: number, log: string): number | undefined {
  try {
    const { scoreboard, header } = findServer({ pid: front, port: undefined });
    const isItsLog = isSameFile(log, numberedLog(header.log, header.logNumber));
    const count = isItsLog ? scoreboard.total() : undefined;
    scoreboard.close();
    return count;
  } catch (error) {
    if (error instanceof KiloforkError) return undefined;
    throw error;
  }
}

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => statSync(path, { throwIfNoEntry: false }));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}
