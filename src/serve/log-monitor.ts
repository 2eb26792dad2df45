/**
 * Watches the log while the server runs: reports a failure once, not for each request, and opens
 * another file if the log was removed or its sync failed.
 */
import { constants } from "node:os";
import type { Tell } from "./events";
import type { LogFiles } from "./log-files";

const SAMPLE_EVERY_MS = 1000;
/** The log counts as recovered this long after the first record that could be written again. */
const RECOVERED_AFTER_MS = 1000;

interface Hooks {
  /** Children must take another file. */
  onReopen(): void;
  /** Children must not write to the present file. */
  onAbandon(): void;
  /** The log is a pipe or a socket whose reader has gone, and no other can come. */
  onReaderGone(): void;
}

export class LogMonitor {
  private fails = false;
  private recovery: NodeJS.Timeout | undefined;
  private reasonTold = "";
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly logFiles: LogFiles,
    private readonly tell: Tell,
    private readonly hooks: Hooks,
  ) {
    this.timer = setInterval(() => this.sample(), SAMPLE_EVERY_MS);
  }

  end(): void {
    clearInterval(this.timer);
    clearTimeout(this.recovery);
  }

  /** Called for a record of the front or of a child: 0 if it was written, or an errno value. */
  written(errno: number): void {
    if (errno !== 0) {
      clearTimeout(this.recovery);
      this.recovery = undefined;
      if (this.fails) return;
      this.fails = true;
      this.tell("log-failing", { log: this.logFiles.name, errno });
      if (errno === constants.errno.EPIPE && !this.logFiles.canHaveReaderAgain)
        this.hooks.onReaderGone();
    } else if (this.fails && !this.recovery) {
      // On a disk that is nearly full, short records still fit where long ones do not.
      this.recovery = setTimeout(() => {
        this.fails = false;
        this.recovery = undefined;
        this.tell("log-recovered", { log: this.logFiles.name });
      }, RECOVERED_AFTER_MS).unref();
    }
  }

  /** Abandons the file: the kernel may have dropped what it could not write. */
  syncFailed(errno: number): void {
    if (this.logFiles.isDead) return;
    this.logFiles.abandonLog();
    this.tell("log-abandoned", { log: this.logFiles.name, errno });
    this.continueInNewFile();
  }

  private sample(): void {
    if (this.logFiles.isDead) this.continueInNewFile();
    else if (this.logFiles.isLogRemoved()) this.replaceRemoved();
    this.logFiles.writePending();
  }

  private continueInNewFile(): void {
    try {
      this.logFiles.continueInNewFile();
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.reasonTold) this.tell("log-missing", { reason });
      this.reasonTold = reason;
      return;
    }
    this.reasonTold = "";
    this.hooks.onReopen();
    this.tell("log-continued", { log: this.logFiles.name });
  }

  private replaceRemoved(): void {
    this.tell("log-removed", { log: this.logFiles.name });
    try {
      if (this.logFiles.reopenLog()) this.hooks.onReopen();
      this.tell("log-reopened", { log: this.logFiles.name });
    } catch {
      this.hooks.onAbandon();
      this.logFiles.abandonLog();
      this.continueInNewFile(); // says why it cannot
    }
  }
}
