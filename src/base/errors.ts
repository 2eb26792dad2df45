/** How a command ends when it does not succeed: one line on stderr, and an exit code. */
import { constants } from "node:os";

export const EXIT = {
  yes: 0,
  /** A request, a record, a bind failed; the books do not balance. */
  no: 1,
  /** Wrong usage. */
  usage: 2,
  /** Cannot judge: no server, unreadable log, the client was the bottleneck. */
  unjudgeable: 3,
} as const;

export class CommandError extends Error {
  constructor(
    readonly exitCode: number,
    message: string,
  ) {
    super(message);
  }
}

export const failed = (message: string) => new CommandError(EXIT.no, message);
export const misused = (message: string) => new CommandError(EXIT.usage, message);
export const unjudgeable = (message: string) => new CommandError(EXIT.unjudgeable, message);

/** `ENOSPC` for 28. util.getSystemErrorName() knows fewer. */
export function nameOfErrno(errno: number): string {
  const known = Object.entries(constants.errno).find(([, value]) => value === errno);
  return known?.[0] ?? `error ${errno}`;
}
