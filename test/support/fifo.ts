/** A named pipe that this process reads from only when told to. fifo(7) */
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";

export class Fifo {
  /** For a server. As long as it is open, the pipe keeps what it holds, also without a reader. */
  readonly writer: number;
  private reader: number | undefined;

  constructor(private readonly path: string) {
    execFileSync("mkfifo", [path]);
    this.openReader();
    this.writer = openSync(path, constants.O_WRONLY);
  }

  openReader(): void {
    this.reader ??= openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  closeReader(): void {
    if (this.reader !== undefined) closeSync(this.reader);
    this.reader = undefined;
  }

  /** Returns what is there. */
  read(): Buffer {
    const chunks: Buffer[] = [];
    try {
      for (;;) {
        const bytes = Buffer.allocUnsafe(64 << 10);
        const got = this.reader === undefined ? 0 : readSync(this.reader, bytes);
        if (got === 0) break;
        chunks.push(bytes.subarray(0, got));
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    return Buffer.concat(chunks);
  }

  close(): void {
    this.closeReader();
    closeSync(this.writer);
  }
}
