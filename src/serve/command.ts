/** `kilofork serve` on the command line. */
import { type Command, Option, type OptionValues } from "commander";
import { KiloforkError } from "../base/errors";
import { DEFAULT_HOST, DEFAULT_MAX_LINE, DEFAULT_PORT, DEFAULT_USERS } from "../base/protocol";
import { MOST_CHILDREN, MOST_REQUESTS } from "../base/ranges";
import { parseDuration } from "../base/units";
import { count, durationOption, refuseOptions } from "../command/arguments";
import { DEFAULT_LOG } from "../log/names";
import { dynamicPool, type PoolOptions, staticPool, type Work } from "./options";
import { parseRunAs } from "./run-as";
import { Front } from "./server";

const DEFAULT_BACKLOG = 4096;

const children = count("children", 1, MOST_CHILDREN);

export function addServe(program: Command, exit: (code: number) => void): void {
  program
    .command("serve")
    .summary("run the server")
    .description(
      "Serves <username>:<message> lines, each request in a process of its own, counted in shared\n" +
        "memory and written to the log. Stays in the foreground until SIGTERM or Ctrl-C.",
    )
    .argument("[host]", "the address to listen on", DEFAULT_HOST)
    .argument("[port]", "0 for any free one", count("port", 0, 65535), DEFAULT_PORT)
    .addOption(
      new Option("--pool <kind>", "static: --children, always; dynamic: as many as are needed")
        .choices(["static", "dynamic"])
        .default("static"),
    )
    .option("--children <n>", "static: processes, forked ahead of time", children, 1000)
    .option("--start-children <n>", "dynamic: forked ahead of time", children, 5)
    .option("--min-spare <n>", "dynamic: at least so many wait for clients", children, 5)
    .option("--max-spare <n>", "dynamic: and at most so many, when it is calm", children, 10)
    .option("--max-children <n>", "dynamic: at most so many in all", children, 1000)
    .addOption(
      durationOption(
        "--shrink-after <D>",
        "dynamic: how long a child beyond --max-spare was not needed before it leaves",
        "10s",
      ),
    )
    .option(
      "--max-requests <n>",
      "a child leaves after so many, and another is forked; 0 for never",
      count("max-requests", 0, MOST_REQUESTS),
      0,
    )
    .option(
      "--max-requests-jitter <n>",
      "each child may serve up to so many more, so that not all leave together",
      count("max-requests-jitter", 0, MOST_REQUESTS),
      0,
    )
    .option(
      "--max-connections-per-address <n>",
      "a client beyond it is told error busy; 0 for no limit",
      count("max-connections-per-address", 0, MOST_CHILDREN),
      0,
    )
    .option("--work <kind>", "none, sleep:D, or spin:D (burns D of CPU time)", "sleep:3s")
    .addOption(
      durationOption("--work-timeout <D>", "ends a child whose work takes longer; 0 for none", "0"),
    )
    .option("--log <file>", "the append-only log; - for standard output", DEFAULT_LOG)
    .addOption(
      new Option(
        "--ack <when>",
        "a reply says: written, the record is in the file; synced, it is on disk",
      )
        .choices(["written", "synced"])
        .default("written"),
    )
    .option("--spawn-log <file>", "a line of JSON for each fork, retirement and end of a child")
    .addOption(
      new Option("--users <file>", "who may send requests, one name a line").default(
        undefined,
        DEFAULT_USERS.join(" and "),
      ),
    )
    .option(
      "--max-line <bytes>",
      "the longest request, newline included",
      count("max-line", 64, 65536),
      DEFAULT_MAX_LINE,
    )
    .addOption(
      durationOption("--idle-timeout <D>", "for the first byte of a request; 0 for none", "60s"),
    )
    .addOption(durationOption("--read-timeout <D>", "from then to its newline; 0 for none", "10s"))
    .addOption(
      durationOption("--write-timeout <D>", "for a client to read a reply; 0 for none", "10s"),
    )
    .option(
      "--backlog <n>",
      "the accept queue; more than net.core.somaxconn is refused",
      count("backlog", 1, 2 ** 31 - 1),
      DEFAULT_BACKLOG,
    )
    .addOption(
      durationOption(
        "--report-every <D>",
        "total requests in the log; 0 for at the end only",
        "2s",
      ),
    )
    .addOption(durationOption("--grace <D>", "for requests in work, when told to stop", "10s"))
    .option(
      "--run-as <user[:group]>",
      "who supervisor and children become, once socket and log are open",
    )
    .option("--pid-file <file>", "gets the pid of the front, for the time it lives")
    .option("--stop-at-eof", "stop when standard input ends: with whoever started it", false)
    .action(async (host: string, port: number, options, command: Command) => {
      if (options.ack === "synced" && options.log === "-")
        throw new KiloforkError(
          "ERR_ARGUMENT",
          "--ack synced needs a file: --log - is standard output",
        );
      exit(
        await new Front({
          host,
          port,
          pool: parsePool(options, command),
          work: parseWork(options.work),
          workTimeoutMs: options.workTimeout,
          maxRequests: options.maxRequests,
          maxRequestsJitter: options.maxRequestsJitter,
          maxConnectionsPerAddress: options.maxConnectionsPerAddress,
          spawnLog: options.spawnLog,
          log: options.log,
          ack: options.ack,
          usersFile: options.users,
          maxLine: options.maxLine,
          idleTimeoutMs: options.idleTimeout,
          readTimeoutMs: options.readTimeout,
          writeTimeoutMs: options.writeTimeout,
          backlog: options.backlog,
          reportEveryMs: options.reportEvery,
          graceMs: options.grace,
          runAs: options.runAs === undefined ? undefined : parseRunAs(options.runAs),
          pidFile: options.pidFile,
          stopAtEof: options.stopAtEof,
        }).run(),
      );
    });
}

/** An option of the other kind of pool would have no effect, and is refused. */
function parsePool(options: OptionValues, command: Command): PoolOptions {
  const dynamic = options.pool === "dynamic";
  if (dynamic) refuseOptions(command, ["children"], "--pool static");
  else
    refuseOptions(
      command,
      ["startChildren", "minSpare", "maxSpare", "maxChildren", "shrinkAfter"],
      "--pool dynamic",
    );
  if (!dynamic) return staticPool(options.children);
  return dynamicPool({
    start: options.startChildren,
    minSpare: options.minSpare,
    maxSpare: options.maxSpare,
    max: options.maxChildren,
    shrinkAfterMs: options.shrinkAfter,
  });
}

function parseWork(text: string): Work {
  const [kind, time, ...rest] = text.split(":");
  if (kind === "none" && time === undefined) return { kind };
  if ((kind !== "sleep" && kind !== "spin") || time === undefined || rest.length > 0)
    throw new KiloforkError("ERR_ARGUMENT", `--work "${text}": write none, sleep:3s or spin:5ms`);
  return { kind, durationMs: parseDuration(time) };
}
