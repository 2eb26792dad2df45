/** How a command ends: the exit codes, and what is said of an error. */
import { CommanderError } from "commander";
import { type ErrorCode, isSystemError, KiloforkError } from "../base/errors";

export const EXIT = {
  yes: 0,
  /** A request, a record or a bind failed; an audit failed. */
  no: 1,
  /** Wrong usage. */
  usage: 2,
  /** No verdict: no server, an unreadable log, or the client was the bottleneck. */
  unjudgeable: 3,
} as const;

/** Every other code of an error is a "no". */
const EXIT_OF: Partial<Record<ErrorCode, number>> = {
  ERR_ARGUMENT: EXIT.usage,
  ERR_BOTTLENECK: EXIT.unjudgeable,
  ERR_NO_SERVER: EXIT.unjudgeable,
  ERR_UNREADABLE: EXIT.unjudgeable,
};

/**
 * Says on standard error what ended a command, unless commander has said it; returns the exit code.
 * Throws an error that was not foreseen: a mistake in this program, whose stack is wanted.
 */
export function reportError(error: unknown, program = "kilofork"): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.yes : EXIT.usage;
  if (!(error instanceof KiloforkError || isSystemError(error))) throw error;
  for (const line of error.message.split("\n")) process.stderr.write(`${program}: ${line}\n`);
  return exitCodeOf(error);
}

export function exitCodeOf(error: unknown): number {
  return (error instanceof KiloforkError && EXIT_OF[error.code]) || EXIT.no;
}
