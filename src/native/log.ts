/** The writer of the log (native/core/log): one record, one write(2). */
import { addon } from "./addon";

interface NativeLog {
  readonly fd: number;
  append(text: string): number;
  close(): void;
}

interface LogAddon {
  readonly Log: new (target: string | number) => NativeLog;
}

export class Log {
  private readonly native: NativeLog;

  /** Opens a path, or takes the descriptor of a file that is open for appending. */
  constructor(target: string | number) {
    this.native = new (addon<LogAddon>().Log)(target);
  }

  get fd(): number {
    return this.native.fd;
  }

  /** Writes a record; returns 0, or the errno value of a write that failed. */
  append(text: string): number {
    return this.native.append(text);
  }

  close(): void {
    this.native.close();
  }
}
