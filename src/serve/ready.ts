/**
 * `--ready-fd N`: writes one line of JSON to a descriptor that the starting program has opened, when
 * the server is ready or has failed to start, and closes it. Children do not inherit it.
 */
import { closeSync, writeSync } from "node:fs";
import { isSystemError, KiloforkError } from "../base/errors";
import { isOpenForWriting, isOwnPipe } from "../machine/descriptors";
import { closeOnExec } from "../native/processes";
import type { Ready } from "./events";

/** The line, for programs. */
export type ReadyLine =
  | {
      readonly event: "ready";
      readonly pid: number;
      readonly address: string;
      readonly port: number;
      /** Until all first children waited for clients. */
      readonly upMs: number;
    }
  | {
      readonly event: "failed";
      /** Of base/errors.ts, or the name of an errno value. */
      readonly code: string;
      readonly message: string;
      /** If a system call failed, or would have failed: as in os.constants.errno, positive. */
      readonly errno?: number | undefined;
    };

export class ReadyNotice {
  private fd: number | undefined;

  /** Takes the descriptor over. Throws ERR_ARGUMENT if it is not open, or cannot take a line. */
  constructor(fd: number) {
    requireWritable(fd);
    closeOnExec(fd);
    this.fd = fd;
  }

  ready({ address, port, upMs }: Ready): void {
    this.write({ event: "ready", pid: process.pid, address, port, upMs: Math.round(upMs) });
  }

  /** Does nothing after {@link ready}. */
  failed(error: unknown): void {
    const { message } = error as Error;
    const known = error instanceof KiloforkError || isSystemError(error);
    const errno = known && error.errno !== undefined ? Math.abs(error.errno) : undefined;
    this.write({ event: "failed", code: known ? error.code : "ERR_START", message, errno });
  }

  private write(line: ReadyLine): void {
    if (this.fd === undefined) return;
    try {
      writeSync(this.fd, `${JSON.stringify(line)}\n`);
    } catch {
      // its reader has left: the server serves nevertheless
    }
    closeSync(this.fd);
    this.fd = undefined;
  }
}

function requireWritable(fd: number): void {
  if (!isOpenForWriting(fd) || isOwnPipe(fd))
    throw new KiloforkError(
      "ERR_ARGUMENT",
      `--ready-fd ${fd}: no such descriptor is open for writing; open it where the server is started, as in --ready-fd 3 3>file`,
    );
}
