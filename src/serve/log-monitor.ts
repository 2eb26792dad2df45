/**
 * Watches the log while the server runs. A failure is told once, not once a request, and repaired
 * where it can be. Each child finds out for itself, at its next record.
 */
import type { Tell } from "./events";
import type { LogFiles } from "./log-files";

const SAMPLE_EVERY_MS = 1000;
/** So long after the last record that failed, the log counts as recovered. */
const RECOVERED_AFTER_MS = 1000;

export class LogMonitor {
  private fails = false;
  private recovery: NodeJS.Timeout | undefined;
  private reasonTold = "";
  private readonly timer: NodeJS.Timeout;

  /** `onReopen` is called when children must turn to another file. */
  constructor(
    private readonly logFiles: LogFiles,
    private readonly tell: Tell,
    private readonly onReopen: () => void,
  ) {
    this.timer = setInterval(() => this.sample(), SAMPLE_EVERY_MS);
  }

  end(): void {
    clearInterval(this.timer);
    clearTimeout(this.recovery);
  }

  /** A record of the front or of a child was written (0), or could not be. */
  written(errno: number): void {
    if (errno !== 0) {
      clearTimeout(this.recovery);
      this.recovery = undefined;
      if (this.fails) return;
      this.fails = true;
      this.tell("log-failing", { log: this.logFiles.name, errno });
    } else if (this.fails && !this.recovery) {
      // On a disk that is nearly full, short records still fit where long ones do not.
      this.recovery = setTimeout(() => {
        this.fails = false;
        this.recovery = undefined;
        this.tell("log-recovered", { log: this.logFiles.name });
      }, RECOVERED_AFTER_MS).unref();
    }
  }

  /** The kernel may have dropped what it could not write, so the file is not used any more. */
  syncFailed(errno: number): void {
    if (this.logFiles.isDead) return;
    this.logFiles.abandonLog();
    this.tell("log-abandoned", { log: this.logFiles.name, errno });
    this.moveOn();
  }

  private sample(): void {
    if (this.logFiles.isDead) this.moveOn();
    else if (this.logFiles.isLogRemoved()) this.replaceRemoved();
    this.logFiles.writePending();
  }

  private moveOn(): void {
    try {
      this.logFiles.moveOn();
    } catch (error) {
      const reason = (error as Error).message;
      if (reason !== this.reasonTold) this.tell("log-missing", { reason });
      this.reasonTold = reason;
      return;
    }
    this.reasonTold = "";
    this.onReopen();
    this.tell("log-continued", { log: this.logFiles.name });
  }

  private replaceRemoved(): void {
    this.tell("log-removed", { log: this.logFiles.name });
    try {
      if (this.logFiles.reopenLog()) this.onReopen();
      this.tell("log-reopened", { log: this.logFiles.name });
    } catch (error) {
      this.tell("log-kept", { reason: (error as Error).message });
    }
  }
}
