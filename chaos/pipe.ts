/** A log that is a pipe, and its reader, which copies what it gets to a file. */
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { Fifo } from "../test/support/fifo";

const READS_EVERY_MS = 5;

export class LogPipe {
  private readonly fifo: Fifo;
  private readonly copy: number;
  private isStalled = false;
  private readonly timer = setInterval(() => this.read(), READS_EVERY_MS);

  constructor(
    private readonly path: string,
    copy: string,
  ) {
    this.fifo = new Fifo(path);
    this.copy = openSync(copy, "a");
  }

  /** Of the server. */
  get writer(): number {
    return this.fifo.writer;
  }

  stall(): void {
    this.isStalled = true;
  }

  /** The reader ends. What it has not read stays in the pipe. */
  leave(): void {
    this.fifo.closeReader();
  }

  /** The reader goes on, or another one comes. */
  resume(): void {
    this.fifo.openReader();
    this.isStalled = false;
  }

  /** Reads what is left. */
  close(): void {
    clearInterval(this.timer);
    this.resume();
    this.read();
    this.fifo.close();
    closeSync(this.copy);
    rmSync(this.path);
  }

  private read(): void {
    if (!this.isStalled) writeSync(this.copy, this.fifo.read());
  }
}
