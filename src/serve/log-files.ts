/**
 * The two files that a server writes, as the front holds them: the log and the record of spawns. It
 * opens them again after a rename, since children may no longer be allowed to.
 *
 * A log whose sync failed is dead: nothing is written to it any more, and the server goes on in
 * another file, the log's name with a number.
 */
import { closeSync, existsSync, fdatasyncSync, fstatSync, statSync, writeSync } from "node:fs";
import { numberedLog } from "../log/names";
import type { Log } from "../native/log";
import { openLog, openSpawnLog, openSyncedLog } from "./open";
import type { ServeOptions } from "./options";

export class LogFiles {
  log: Log;
  spawnLog: number;
  /** Behind the log's name; 0: nothing. */
  number = 0;
  /** There is no log that may be written to. */
  isDead = false;
  private readonly path: string;
  /** Records that are a part of the books, and could not be written yet. */
  private readonly pending: string[] = [];
  private readonly dead = new Set<string>();
  private readonly open: (path: string) => Log;

  /**
   * `onWrite` is told of each record: 0, or an errno value. `onPending`: by how many records that must
   * not be missing, and cannot be written yet, there are more or less.
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

  /** Of the file that is written to. */
  get name(): string {
    return numberedLog(this.path, this.number);
  }

  record(text: string): boolean {
    if (this.isDead) return false;
    const errno = this.log.append(text);
    this.onWrite(errno);
    return errno === 0;
  }

  /** The end of a child that no supervisor was there to see. */
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
      // as in the supervisor: the log is what counts
    }
  }

  /** Writes what is owed, as far as it can be. */
  writePending(): void {
    while (this.pending[0] !== undefined && this.record(this.pending[0])) {
      this.pending.shift();
      this.onPending(-1);
    }
  }

  /** Nothing leads to it any more: what is written to it will be gone. */
  isLogRemoved(): boolean {
    return this.path !== "-" && fstatSync(this.log.fd).nlink === 0;
  }

  /** False: the name still leads to the file that is open. A dead file is left where it is. */
  reopenLog(): boolean {
    if (this.path === "-") return false;
    const number = this.dead.has(identityOf(this.path)) ? this.number : 0;
    const name = numberedLog(this.path, number);
    if (identityOf(name) === identityOf(this.log.fd)) return false;
    this.take(this.open(name), number);
    return true;
  }

  /** Its sync has failed. */
  abandonLog(): void {
    this.isDead = true;
    this.dead.add(identityOf(this.log.fd));
  }

  /** To the first file that is not there yet. */
  moveOn(): void {
    let number = this.number + 1;
    while (existsSync(numberedLog(this.path, number))) number++;
    this.take(this.open(numberedLog(this.path, number)), number);
  }

  reopenSpawnLog(): boolean {
    const { spawnLog: path } = this.options;
    if (path === undefined || identityOf(path) === identityOf(this.spawnLog)) return false;
    const spawnLog = openSpawnLog(path);
    closeSync(this.spawnLog);
    this.spawnLog = spawnLog;
    return true;
  }

  /** Throws where the disk cannot take it. */
  close(): void {
    const mustSync = this.options.ack === "synced" && !this.isDead;
    try {
      if (mustSync) fdatasyncSync(this.log.fd);
    } finally {
      this.log.close();
      closeSync(this.spawnLog);
    }
  }

  private take(log: Log, number: number): void {
    this.log.close();
    this.log = log;
    this.number = number;
    this.isDead = false;
  }
}

/** The same for two names, or descriptors, of one file; of a name that leads nowhere, "". */
function identityOf(file: string | number): string {
  const status =
    typeof file === "number" ? fstatSync(file) : statSync(file, { throwIfNoEntry: false });
  return status ? `${status.dev}:${status.ino}` : "";
}
