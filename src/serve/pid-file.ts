/**
 * The pid file. Its server holds a lock on it (flock(2)), so that another server is refused, and that
 * of a killed server is taken over. Runs in the front.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { KiloforkError } from "../base/errors";
import { readText } from "../machine/files";
import { lockFile } from "../native/processes";

export class PidFile {
  private readonly fd: number;

  /** Writes the pid of this process. Throws ERR_ARGUMENT, also if another server holds the file. */
  constructor(private readonly path: string) {
    try {
      this.fd = openLocked(path);
      ftruncateSync(this.fd);
      writeSync(this.fd, `${process.pid}\n`);
    } catch (error) {
      throw new KiloforkError(
        "ERR_ARGUMENT",
        `cannot write the pid file: ${(error as Error).message}`,
      );
    }
  }

  /** Removes the file, unless another has its name by now. */
  remove(): void {
    if (isAt(this.path, this.fd)) rmSync(this.path, { force: true });
    closeSync(this.fd);
  }
}

function openLocked(path: string): number {
  const { O_WRONLY, O_CREAT, O_NONBLOCK, O_NOCTTY } = constants;
  for (;;) {
    const fd = openSync(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, 0o666);
    try {
      if (!fstatSync(fd).isFile()) throw new Error(`${path} is not a regular file`);
      if (!lockFile(fd)) throw new Error(`${path} is locked by a server that runs${ownerIn(path)}`);
      if (isAt(path, fd)) return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd); // its server has removed it before it was locked
  }
}

function ownerIn(path: string): string {
  const [pid] = /^\d+$/.exec(readText(path).trim()) ?? [];
  return pid === undefined ? "" : `, pid ${pid}`;
}

function isAt(path: string, fd: number): boolean {
  const named = statSync(path, { throwIfNoEntry: false });
  const { dev, ino } = fstatSync(fd);
  return named !== undefined && named.dev === dev && named.ino === ino;
}
