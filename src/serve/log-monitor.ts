/**
 * What goes wrong with the log while the server runs: said once, not once a request, and mended
 * where it can be. The children find out for themselves, each at its next record.
 */
import { nameOfErrno } from "../base/errors";
import { complain } from "./complain";
import type { LogFiles } from "./log-files";

const LOOKED_AT_EVERY_MS = 1000;
/** Without a record that failed. */
const WELL_AFTER_MS = 1000;

export class LogMonitor {
  private fails = false;
  private recovery: NodeJS.Timeout | undefined;
  private saidWhyDead = "";
  private readonly watch: NodeJS.Timeout;

  /** `reopened`: all are to turn to what the logFiles has now. */
  constructor(
    private readonly logFiles: LogFiles,
    private readonly onReopen: () => void,
  ) {
    this.watch = setInterval(() => this.look(), LOOKED_AT_EVERY_MS);
  }

  end(): void {
    clearInterval(this.watch);
  }

  /** Of a record, the front's or a child's. */
  written(errno: number): void {
    if (errno !== 0) {
      clearTimeout(this.recovery);
      this.recovery = undefined;
      if (this.fails) return;
      this.fails = true;
      complain(
        `cannot write to the log ${this.logFiles.name}: ${nameOfErrno(errno)}; clients get "error unavailable" until it can be written again`,
      );
    } else if (this.fails && !this.recovery) {
      // On a disk that is nearly full, short records still fit where long ones do not.
      this.recovery = setTimeout(() => {
        this.fails = false;
        this.recovery = undefined;
        complain("the log can be written again");
      }, WELL_AFTER_MS).unref();
    }
  }

  /** The kernel may have dropped what it could not write, so nobody goes on with that file. */
  syncFailed(errno: number): void {
    if (this.logFiles.isDead) return;
    this.logFiles.abandonLog();
    const why =
      nameOfErrno(errno) === "ECANCELED"
        ? "the syncer died in the middle of a sync"
        : `it cannot be synced: ${nameOfErrno(errno)}`;
    complain(
      `the log ${this.logFiles.name} is given up, ${why}; whoever waited for that gets "error unavailable"`,
    );
    this.moveOn();
  }

  private look(): void {
    if (this.logFiles.isDead) this.moveOn();
    else if (this.logFiles.isLogRemoved()) this.replaceRemoved();
    this.logFiles.writePending();
  }

  private moveOn(): void {
    try {
      this.logFiles.moveOn();
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.saidWhyDead)
        complain(`${message}; clients get "error unavailable" until there is a log`);
      this.saidWhyDead = message;
      return;
    }
    this.saidWhyDead = "";
    this.onReopen();
    complain(`the log goes on in ${this.logFiles.name}`);
  }

  private replaceRemoved(): void {
    complain(`the log ${this.logFiles.name} was removed, and the records in it are gone`);
    try {
      if (this.logFiles.reopenLog()) this.onReopen();
      complain("log opened again");
    } catch (error) {
      complain(`log kept as it was: ${(error as Error).message}`);
    }
  }
}
