/**
 * The two files that a server writes: the log and the spawn log. The front opens them, also after a
 * rename, since children may not be allowed to.
 *
 * A log whose sync failed is dead: it is no longer written to. The log then continues in another
 * file, which has the same name with a number. A removed log that cannot be created again is dead, too.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  readlinkSync,
  statSync,
  writeSync,
} from "node:fs";
import { numberedLog } from "../log/names";
import type { Log } from "../native/log";
import { openLog, openSpawnLog, openSyncedLog } from "./open";
import type { ServeOptions } from "./options";

export class LogFiles {
  log: Log;
  spawnLog: number;
  /** The number behind the log's name; 0: none. */
  number = 0;
  /** The log is dead, and no other file has been opened yet. */
  isDead = false;
  private readonly path: string;
  /** Records of ends that could not be written yet. */
  private readonly pending: string[] = [];
  /** Identities of dead files. */
  private readonly dead = new Set<string>();
  private readonly open: (path: string) => Log;

  /**
   * `onWrite` is called after each record: 0, or an errno value. `onPending` is called with +1 when a
   * record becomes pending, and with -1 when it has been written.
   */
  constructor(
    private readonly options: Pick<ServeOptions, "log" | "ack" | "spawnLog">,
    private readonly onWrite: (errno: number) => void,
    private readonly onPending: (by: number) => void,
  ) {
    this.path = options.log;
    this.open = options.ack === "synced" ? openSyncedLog : openLog;
    this.log = this.open(this.path);
    this.spawnLog = openSpawnLog(options.spawnLog);
  }

  /** The name of the present file. */
  get name(): string {
    return numberedLog(this.path, this.number);
  }

  /** Writes a record; returns false if that failed. */
  record(text: string): boolean {
    if (this.isDead) return false;
    const errno = this.log.append(text);
    this.onWrite(errno);
    return errno === 0;
  }

  /** Records the end of a child whose supervisor died before it. */
  recordOrphan(pid: number, slot: number): void {
    const text = `child pid ${pid} ended: with its supervisor, abnormal`;
    if (this.pending.length > 0 || !this.record(text)) {
      this.onPending(+1);
      this.pending.push(text);
    }
    const end = { timeMs: Date.now(), event: "end", cause: "orphaned", pid, slot };
    try {
      writeSync(this.spawnLog, `${JSON.stringify(end)}\n`);
    } catch {
      // the log has the same record; the supervisor ignores such a failure, too
    }
  }

  /** Writes pending records until one fails. */
  writePending(): void {
    while (this.pending[0] !== undefined && this.record(this.pending[0])) {
      this.pending.shift();
      this.onPending(-1);
    }
  }

  /** Whether the file has lost its last name: its records are lost when it is closed. */
  isLogRemoved(): boolean {
    return this.isFile() && fstatSync(this.log.fd).nlink === 0;
  }

  /**
   * Opens the log by its name again; returns false if that is the open file. Does not open a dead file
   * again: the numbered file then stays the log.
   */
  reopenLog(): boolean {
    if (!this.isFile()) return false;
    const number = this.dead.has(identityOf(this.path)) ? this.number : 0;
    const name = numberedLog(this.path, number);
    if (identityOf(name) === identityOf(this.log.fd)) return false;
    this.take(this.open(name), number);
    return true;
  }

  /** Declares the present file dead: its sync has failed, or it was removed. */
  abandonLog(): void {
    this.isDead = true;
    if (!this.isLogRemoved()) this.dead.add(identityOf(this.log.fd));
  }

  /** Continues the log in a new file: with the next number that is free, or under a removed file's name. */
  continueInNewFile(): void {
    if (this.isLogRemoved()) {
      this.take(this.open(this.name), this.number);
      return;
    }
    let number = this.number + 1;
    while (existsSync(numberedLog(this.path, number))) number++;
    this.take(this.open(numberedLog(this.path, number)), number);
  }

  /** Opens the spawn log by its name again; false if that is the open file, or there is none. */
  reopenSpawnLog(): boolean {
    const { spawnLog: path } = this.options;
    if (path === undefined || identityOf(path) === identityOf(this.spawnLog)) return false;
    const spawnLog = openSpawnLog(path);
    closeSync(this.spawnLog);
    this.spawnLog = spawnLog;
    return true;
  }

  /** With --ack synced, syncs the log first. Throws what fdatasync() throws. */
  close(): void {
    const mustSync = this.options.ack === "synced" && !this.isDead;
    try {
      if (mustSync) fdatasyncSync(this.log.fd);
    } finally {
      this.log.close();
      closeSync(this.spawnLog);
    }
  }

  /** Whether another process can open a log that is no file: a fifo or a terminal, which has a name. */
  get canHaveReaderAgain(): boolean {
    try {
      return readlinkSync(`/proc/self/fd/${this.log.reader}`).startsWith("/");
    } catch {
      return true; // without /proc it is not known
    }
  }

  /** Whether the log has a name that can lead to another file. */
  private isFile(): boolean {
    return this.path !== "-" && !this.log.isSpooled;
  }

  private take(log: Log, number: number): void {
    this.log.close();
    this.log = log;
    this.number = number;
    this.isDead = false;
  }
}

/** Device and inode of a path or a descriptor; "" if the path leads nowhere. */
function identityOf(file: string | number): string {
  const status =
    typeof file === "number" ? fstatSync(file) : statSync(file, { throwIfNoEntry: false });
  return status ? `${status.dev}:${status.ino}` : "";
}
