/**
 * Standard output and the files of results. A command ends when standard output cannot be written,
 * as by SIGPIPE, unless it listens for that error itself because it has to clean up.
 */
import { openSync, writeFileSync } from "node:fs";
import { constants as os } from "node:os";
import { KiloforkError } from "../base/errors";
import { EXIT } from "./exit";

export function guardOutput(): void {
  process.stdout.on("error", (error) => {
    if (process.stdout.listenerCount("error") === 1) process.exit(lostOutput(error));
  });
}

/** Reports the error, unless only the reader has left; returns the exit code. */
export function lostOutput({ code, message }: NodeJS.ErrnoException): number {
  if (code === "EPIPE") return 128 + os.signals.SIGPIPE;
  process.stderr.write(`kilofork: cannot write to standard output: ${code ?? message}\n`);
  return EXIT.no;
}

/**
 * Opens the file for a result before the work, so that a file that cannot be written ends the command
 * first. Returns the function that writes it, to be called once.
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
  const fd = attempt(() => openSync(path, "w"));
  return (text) => attempt(() => writeFileSync(fd, text));
}
