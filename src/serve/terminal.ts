/** The terminal that a server was started from. */
import { closeSync, openSync } from "node:fs";

/** Tells a hang-up of the terminal from a SIGHUP that somebody sent. */
export class Terminal {
  private readonly had = Terminal.canOpen();

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
}
