/** Redraws a text in place on a terminal: console_codes(4). */
import type { WriteStream } from "node:tty";
import { heeded } from "../machine/signals";

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const ERASE_REST_OF_LINE = "\x1b[K";
const ERASE_BELOW = "\x1b[J";
const up = (lines: number) => (lines > 0 ? `\x1b[${lines}A` : "");

const FATAL = heeded(["SIGINT", "SIGTERM", "SIGHUP"]);

export class Screen {
  private drawn = 0;
  private readonly die = (signal: NodeJS.Signals) => {
    this.close();
    process.kill(process.pid, signal); // with the default action
  };

  /** Hides the cursor until close(), or until a signal ends this process. */
  constructor(private readonly terminal: WriteStream) {
    for (const signal of FATAL) process.on(signal, this.die);
    terminal.write(HIDE_CURSOR);
  }

  /** Cuts the text to the size of the terminal: a wrapped line could not be overwritten. */
  draw(text: string): void {
    const rows = this.terminal.rows || Number.POSITIVE_INFINITY; // 0: of unknown size
    const columns = this.terminal.columns || Number.POSITIVE_INFINITY;
    const lines = text.split("\n").slice(0, Math.max(rows - 1, 1));
    const cut = lines.map((line) => `${line.slice(0, columns)}${ERASE_REST_OF_LINE}\n`);
    this.terminal.write(`${up(this.drawn)}${cut.join("")}${ERASE_BELOW}`);
    this.drawn = lines.length;
  }

  close(): void {
    for (const signal of FATAL) process.off(signal, this.die);
    this.terminal.write(SHOW_CURSOR);
  }
}
