/** Decides how a command ends: its exit code, and the message of an error. */
import { constants as os } from "node:os";
import { CommanderError } from "commander";
import { type ErrorCode, isSystemError, KiloforkError } from "../base/errors";
import { printable } from "../base/printable";

export const EXIT = {
  yes: 0,
  /** A request, a record or a bind failed; an audit failed. */
  no: 1,
  /** Wrong usage. */
  usage: 2,
  /** No verdict: no server, an unreadable log, or the client was the bottleneck. */
  noVerdict: 3,
} as const;

/** Any other code of an error means EXIT.no. */
const EXIT_OF: Partial<Record<ErrorCode, number>> = {
  ERR_ARGUMENT: EXIT.usage,
  ERR_BOTTLENECK: EXIT.noVerdict,
  ERR_NO_SERVER: EXIT.noVerdict,
  ERR_UNREADABLE: EXIT.noVerdict,
};

/**
 * Writes the error that ended a command to standard error, unless commander has; returns the exit
 * code. Throws an unexpected error again: it is a mistake in this program, and Node prints its stack.
 */
export function reportError(error: unknown, program = "kilofork"): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.yes : EXIT.usage;
  if (!(error instanceof KiloforkError || isSystemError(error))) throw error;
  for (const line of error.message.split("\n")) say(line, program);
  return exitCodeOf(error);
}

/** Prints one line to standard error. A message may quote what a file or a segment contains. */
export function say(line: string, program = "kilofork"): void {
  process.stderr.write(`${program}: ${printable(line)}\n`);
}

/** As a shell reports a process that a signal has ended. */
export function exitCodeOfSignal(signal: NodeJS.Signals): number {
  return 128 + os.signals[signal];
}

export function exitCodeOf(error: unknown): number {
  return (error instanceof KiloforkError && EXIT_OF[error.code]) || EXIT.no;
}
