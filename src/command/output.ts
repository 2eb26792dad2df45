/** Standard output, and the files that results are written to. */
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { KiloforkError } from "../base/errors";
import { EXIT, exitCodeOfSignal, say } from "./exit";

/**
 * Ends the process when standard output cannot be written, as SIGPIPE would. A command that has to
 * clean up adds a listener of its own for the error; then that one decides.
 */
export function guardOutput(): void {
  process.stdout.on("error", (error) => {
    if (process.stdout.listenerCount("error") === 1) process.exit(lostOutput(error));
  });
}

/** Reports the error, except if the reader has left; returns the exit code. */
export function lostOutput({ code, message }: NodeJS.ErrnoException): number {
  if (code === "EPIPE") return exitCodeOfSignal("SIGPIPE");
  say(`cannot write to standard output: ${code ?? message}`);
  return EXIT.no;
}

/**
 * Checks that the file for a result can be written, and returns the function that writes it, to be
 * called once. Called before the work, so that a command with a bad file fails at once. Until the
 * result is there, an old file stays as it is.
 */
export function openResult(
  path: string | undefined,
  what: string,
): ((text: string) => void) | undefined {
  if (path === undefined) return undefined;
  const attempt = <T>(act: () => T): T => {
    try {
      return act();
    } catch (error) {
      throw new KiloforkError(
        "ERR_ARGUMENT",
        `cannot write the ${what}: ${(error as Error).message}`,
      );
    }
  };
  const old = attempt(() => openOld(path));
  return (text) =>
    attempt(() => (old === undefined ? create(path, text) : replace(path, old, text)));
}

/** Opens a file that exists. Throws if a file cannot be written, or not created. */
function openOld(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    return undefined;
  }
}

/** Writes a file beside the path, and gives it that name when it is whole. */
function create(path: string, text: string, old?: Stats): void {
  const beside = `${path}.${process.pid}.new`;
  const fd = openSync(beside, "wx");
  try {
    if (old) fchownSync(fd, old.uid, old.gid);
    if (old) fchmodSync(fd, old.mode);
    writeFileSync(fd, text);
    fsyncSync(fd);
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Where no file can take the place of the old one: the folder is read-only, the file is a mount. */
const IN_PLACE: readonly (string | undefined)[] = ["EACCES", "EBUSY", "EPERM", "EROFS"];

function replace(path: string, fd: number, text: string): void {
  const old = fstatSync(fd);
  try {
    if (old.isFile()) create(realpathSync(path), text, old);
    else writeFileSync(fd, text);
  } catch (error) {
    if (!IN_PLACE.includes((error as NodeJS.ErrnoException).code)) throw error;
    ftruncateSync(fd);
    writeFileSync(fd, text);
  }
}
