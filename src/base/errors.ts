/**
 * Expected errors. Each has a stable code, by which programs tell them apart, and a message that says
 * what failed and what to do. An error of a system call stays a SystemError. command/exit.ts derives
 * the exit code of a command from the code of its error.
 */
import { constants } from "node:os";

/** Every code, and what has happened. */
export const ERROR_CODES = {
  ERR_ARGUMENT: "an option, an argument, or a file that one names cannot be used",
  ERR_MACHINE_LIMIT: "the machine has no room for what was asked for",
  ERR_IN_USE: "another process has the port or the log",
  ERR_LISTEN: "the listening socket cannot be opened",
  ERR_LOG: "the log cannot be opened, or cannot be synced",
  ERR_START: "a server did not start",
  ERR_STOP: "a server was killed, or its stop aborted requests or took too long",
  ERR_ORDER: "a running server did not carry out an order",
  ERR_OUTPUT: "a result cannot be written",
  ERR_NO_LOG: "a file that is to be repaired has no record of a server",
  ERR_REQUEST: "requests of a load failed",
  ERR_BOTTLENECK: "the load client was the bottleneck, so that the load says nothing of the server",
  ERR_NOT_BALANCED: "an audit failed",
  ERR_ADDON: "the addon is not built, or was built from other sources",
  ERR_NO_SERVER: "no such server is running",
  ERR_UNREADABLE: "a log or a result cannot be read, or does not say enough for a verdict",
} as const;
export type ErrorCode = keyof typeof ERROR_CODES;

/** `errno` and `syscall` are given if a system call failed. */
export interface ErrorDetails {
  readonly errno?: number;
  readonly syscall?: string;
  readonly cause?: unknown;
}

export class KiloforkError extends Error {
  override readonly name = "KiloforkError";
  readonly errno: number | undefined;
  readonly syscall: string | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    { errno, syscall, cause }: ErrorDetails = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Thrown by the addon, and by Node, when a system call fails; e.g. `code: "EADDRINUSE"`. */
export interface SystemError extends Error {
  readonly code: string;
  readonly errno: number;
}

export function isSystemError(error: unknown): error is SystemError {
  if (!(error instanceof Error) || error instanceof KiloforkError) return false;
  return typeof (error as SystemError).errno === "number"; // Node's own ERR_* have none
}

/** `ENOSPC` for 28. util.getSystemErrorName() knows fewer. */
export function nameOfErrno(errno: number): string {
  const known = Object.entries(constants.errno).find(([, value]) => value === errno);
  return known?.[0] ?? `error ${errno}`;
}
