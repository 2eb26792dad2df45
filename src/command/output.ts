/**
 * Where results go. Standard output that cannot be written to ends a command, as SIGPIPE would when
 * its reader has left. A command that has more to do then listens for the error, too: it is left to
 * that.
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

/** Says so, unless only the reader has left; the exit code. */
export function lostOutput({ code, message }: NodeJS.ErrnoException): number {
  if (code === "EPIPE") return 128 + os.signals.SIGPIPE;
  process.stderr.write(`kilofork: cannot write to standard output: ${code ?? message}\n`);
  return EXIT.no;
}

/**
 * Opens the file of a result before there is one, so that no load is run for nothing; returns what
 * writes it, once.
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
