/** The writer of the log (native/core/log): one record, one write(2). */
import { addon } from "./addon";

interface NativeLog {
  readonly fd: number;
  readonly reader: number;
  append(text: string): number;
  close(): void;
}

interface LogAddon {
  readonly Log: new (target: string | number) => NativeLog;
}

export class Log {
  private readonly native: NativeLog;

  /** Opens a path, or takes a descriptor. If that is a pipe, socket or terminal, there is a spool. */
  constructor(target: string | number) {
    this.native = new (addon<LogAddon>().Log)(target);
  }

  /** Of the file, or of the spool. */
  get fd(): number {
    return this.native.fd;
  }

  /** What the spool is copied to; -1: no spool. */
  get reader(): number {
    return this.native.reader;
  }

  /** Records go to a spool, and from there to a reader. */
  get isSpooled(): boolean {
    return this.native.reader >= 0;
  }

  /** Writes a record; returns 0, or the errno value of a write that failed. */
  append(text: string): number {
    return this.native.append(text);
  }

  close(): void {
    this.native.close();
  }
}
