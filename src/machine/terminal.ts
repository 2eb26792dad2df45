/** The terminal that a command was started from: tty(4), credentials(7). */
import { closeSync, openSync } from "node:fs";
import { isatty } from "node:tty";

/** Whether a text can be redrawn in place there. */
export const canRedraw = ({ isTTY }: NodeJS.WriteStream) => isTTY && process.env.TERM !== "dumb";

/** Distinguishes a SIGHUP for a hang-up of the terminal from one that a process sent. */
export class Terminal {
  private readonly descriptors = [0, 1, 2].filter((fd) => isatty(fd));
  // nohup(1) leaves no descriptor on the terminal: its hang-up does not concern the program.
  private readonly hadTerminal = this.descriptors.length > 0 && Terminal.canOpen();

  private static canOpen(): boolean {
    try {
      closeSync(openSync("/dev/tty", "r"));
      return true;
    } catch {
      return false;
    }
  }

  hasHungUp(): boolean {
    return this.hadTerminal && !Terminal.canOpen();
  }

  /**
   * Replaces the terminal by /dev/null, after a hang-up: Node aborts at its exit if it cannot restore
   * the settings of a terminal.
   */
  release(): void {
    for (const fd of this.descriptors.splice(0)) {
      closeSync(fd);
      openSync("/dev/null", "r+"); // gets the lowest free number: the one just closed
    }
  }
}
