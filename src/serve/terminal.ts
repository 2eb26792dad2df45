/** The terminal that a server was started from. */
import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";

/** Tells a hang-up of the terminal from a SIGHUP that somebody sent. */
export class Terminal {
  private readonly had = Terminal.canOpen();
  private readonly descriptors = [0, 1, 2].filter((fd) => isatty(fd));

  private static canOpen(): boolean {
    try {
      closeSync(openSync("/dev/tty", "r"));
      return true;
    } catch {
      return false;
    }
  }

  hasHungUp(): boolean {
    return this.had && !Terminal.canOpen();
  }

  /** Once it has hung up: Node aborts at its end when it cannot restore a terminal's settings. */
  letGo(): void {
    for (const fd of this.descriptors.splice(0)) {
      closeSync(fd);
      openSync("/dev/null", "r+"); // gets the lowest number that is free: the one just closed
    }
  }
}
