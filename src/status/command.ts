/** `kilofork status`: what a server is doing, once or until it ends. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { whereIs } from "../base/address";
import { KiloforkError } from "../base/errors";
import { LONGEST_TIMER_MS, parseDuration, plural } from "../base/units";
import { duration, jsonOption, refuseNamed, serverPid, serverPort } from "../command/arguments";
import { EXIT, say } from "../command/exit";
import { canRedraw } from "../machine/terminal";
import { collect, RequestMeter } from "./collect";
import { diagnose } from "./diagnose";
import { Screen } from "./screen";
import { findServer, lives, type Server, type Wanted } from "./servers";
import { showStatus } from "./text";

/** The time between the two readings of the request counters. */
const SAMPLE_MS = 1000;
const WATCH = "1s";

export function addStatus(program: Command, exit: (code: number) => void): void {
  const command = program
    .command("status")
    .summary("show what a running server is doing")
    .description(
      "Reads the server's shared memory, and asks the kernel for its accept queue. The server takes no part: its status can be read while it is stopped, too.",
    )
    .addArgument(serverPort())
    .addOption(serverPid())
    .addOption(
      new Option(
        "--watch [D]",
        `repeat at this interval (${WATCH} if D is missing) until the server ends`,
      ).argParser(duration),
    )
    .addOption(jsonOption("print one JSON object; with --watch, one on each line"))
    .action(async (port: number | undefined, { pid, watch, json }) => {
      const watchMs = watch === true ? parseDuration(WATCH) : (watch ?? 0);
      exit(await runStatus({ port, pid, json, watchMs }));
    });
  refuseNamed(command, ["port"], "kilofork status 31337");
}

interface StatusCommand extends Wanted {
  readonly json: boolean;
  /** Time from one frame to the next; 0: only one frame. */
  readonly watchMs: number;
}

async function runStatus({ port, pid, json, watchMs }: StatusCommand): Promise<number> {
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

/** On a terminal, redraws in place; otherwise prints one frame after the other. */
async function watch(server: Server, meter: RequestMeter, json: boolean, everyMs: number) {
  process.stdout.on("error", () => process.exit(EXIT.yes)); // its reader has left
  const screen = canRedraw(process.stdout) && !json ? new Screen(process.stdout) : undefined;
  try {
    for (; lives(server); await sleep(Math.min(everyMs, LONGEST_TIMER_MS))) {
      const status = diagnose(collect(server, meter.read()));
      if (screen) screen.draw(showStatus(status));
      else print(json ? JSON.stringify(status) : `${showStatus(status)}\n`);
    }
  } finally {
    screen?.close();
  }
  const total = plural(server.scoreboard.total(), "request"); // the mapping outlives the segment's name
  const end = `${whereIs(server.header)}: the server has ended after ${total}`;
  if (json) say(end);
  else print(end);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
