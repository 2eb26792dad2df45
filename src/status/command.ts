/** `kilofork status`: once, or again and again until the server ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { whereIs } from "../base/address";
import { KiloforkError } from "../base/errors";
import { LONGEST_TIMER_MS, plural } from "../base/units";
import { EXIT } from "../command/exit";
import { collect, RequestMeter } from "./collect";
import { diagnose } from "./diagnose";
import { Screen } from "./screen";
import { findServer, lives, type Server, type Wanted } from "./servers";
import { showStatus } from "./text";

/** Over which the requests a second are counted. */
const SAMPLE_MS = 1000;

export interface StatusCommand extends Wanted {
  readonly json: boolean;
  /** From one frame to the next; 0: one is all. */
  readonly watchMs: number;
}

/** The exit code. */
export async function runStatus({ port, pid, json, watchMs }: StatusCommand): Promise<number> {
  const server = findServer({ port, pid });
  const meter = new RequestMeter(server.scoreboard);
  await sleep(Math.min(SAMPLE_MS, watchMs || SAMPLE_MS));
  if (!lives(server))
    throw new KiloforkError(
      "ERR_NO_SERVER",
      `${whereIs(server.header)}: the server has just ended`,
    );
  if (watchMs > 0) {
    await watch(server, meter, json, watchMs);
  } else {
    const status = diagnose(collect(server, meter.read()));
    print(json ? JSON.stringify(status, null, 2) : showStatus(status));
  }
  return EXIT.yes;
}

/** On a terminal in place; elsewhere one frame after the other, each an object on a line of its own. */
async function watch(server: Server, meter: RequestMeter, json: boolean, everyMs: number) {
  process.stdout.on("error", () => process.exit(EXIT.yes)); // its reader has left
  const screen = process.stdout.isTTY && !json ? new Screen(process.stdout) : undefined;
  try {
    for (; lives(server); await sleep(Math.min(everyMs, LONGEST_TIMER_MS))) {
      const status = diagnose(collect(server, meter.read()));
      if (screen) screen.draw(showStatus(status));
      else print(json ? JSON.stringify(status) : `${showStatus(status)}\n`);
    }
  } finally {
    screen?.close();
  }
  const total = plural(server.scoreboard.total(), "request"); // our own mapping is still there
  const end = `${whereIs(server.header)}: the server has ended after ${total}`;
  if (json) process.stderr.write(`kilofork: ${end}\n`);
  else print(end);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
