/** The terminal that a server was started from: tty(4), credentials(7). */
import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";

/** Tells a SIGHUP by the hang-up of the terminal from one by another process. */
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

  /**
   * Called after a hang-up: puts /dev/null in the place of the terminal, since Node aborts at its exit
   * when it cannot restore the settings of a terminal.
   */
  letGo(): void {
    for (const fd of this.descriptors.splice(0)) {
      closeSync(fd);
      openSync("/dev/null", "r+"); // gets the lowest number that is free: the one just closed
    }
  }
}
