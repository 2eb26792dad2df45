/**
 * Standard output that cannot be written to ends a command, as SIGPIPE would when its reader has
 * left. A command that has more to do then listens for the error, too: it is left to that.
 */
import { constants as os } from "node:os";
import { EXIT } from "./errors";

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
