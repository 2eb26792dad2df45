/**
 * The two files that a server writes, as the front holds them: the log and the record of spawns. It
 * opens them again after a rename, since children may no longer be allowed to.
 */
import { closeSync, fstatSync, statSync, writeSync } from "node:fs";
import type { Log } from "../native";
import { openLog, openSpawnLog } from "./open";

export class Journal {
  log: Log;
  spawnLog: number;

  /** `onWrite` is told of each record: 0, or an errno value. */
  constructor(
    readonly path: string,
    private readonly spawnPath: string | undefined,
    private readonly onWrite: (errno: number) => void,
  ) {
    this.log = openLog(path);
    this.spawnLog = openSpawnLog(spawnPath);
  }

  record(text: string): boolean {
    const errno = this.log.append(text);
    this.onWrite(errno);
    return errno === 0;
  }

  /** The end of a child that no supervisor was there to see. */
  recordOrphan(pid: number, slot: number): void {
    this.record(`child pid ${pid} ended: with its supervisor, abnormal`);
    const end = { timeMs: Date.now(), event: "end", cause: "orphaned", pid, slot };
    try {
      writeSync(this.spawnLog, `${JSON.stringify(end)}\n`);
    } catch {
      // as in the supervisor: the log is what counts
    }
  }

  /** Nothing leads to it any more: what is written to it will be gone. */
  isLogRemoved(): boolean {
    return this.path !== "-" && fstatSync(this.log.fd).nlink === 0;
  }

  /** False: the path still leads to the file that is open. */
  reopenLog(): boolean {
    if (this.path === "-" || isSameFile(this.path, this.log.fd)) return false;
    const log = openLog(this.path);
    this.log.close();
    this.log = log;
    return true;
  }

  reopenSpawnLog(): boolean {
    if (this.spawnPath === undefined || isSameFile(this.spawnPath, this.spawnLog)) return false;
    const spawnLog = openSpawnLog(this.spawnPath);
    closeSync(this.spawnLog);
    this.spawnLog = spawnLog;
    return true;
  }

  close(): void {
    this.log.close();
    closeSync(this.spawnLog);
  }
}

function isSameFile(path: string, fd: number): boolean {
  const now = statSync(path, { throwIfNoEntry: false });
  const then = fstatSync(fd);
  return now !== undefined && now.dev === then.dev && now.ino === then.ino;
}
