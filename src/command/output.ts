/** Standard output, and the files that results are written to. */
import { openSync, writeFileSync } from "node:fs";
import { KiloforkError } from "../base/errors";
import { EXIT, exitCodeOfSignal } from "./exit";

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
  process.stderr.write(`kilofork: cannot write to standard output: ${code ?? message}\n`);
  return EXIT.no;
}

/**
 * Opens the file for a result, and returns the function that writes it, to be called once. Called
 * before the work, so that a command with a bad file fails at once.
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
