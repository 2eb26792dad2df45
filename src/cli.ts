/** The command line: what there is, its defaults, and how a command that fails ends. */
import { Argument, Command, Option, type OptionValues } from "commander";
import { runAudit } from "./audit/command";
import { KiloforkError } from "./base/errors";
import { DEFAULT_HOST, DEFAULT_MAX_LINE, DEFAULT_PORT, DEFAULT_USERS } from "./base/protocol";
import { MOST_CHILDREN, MOST_CLIENTS, MOST_REQUESTS, MOST_REQUESTS_A_SECOND } from "./base/ranges";
import { likeOurs, resolveHost } from "./base/resolve";
import { parseDuration } from "./base/units";
import { version } from "./base/version";
import { type ClientOutput, runClient } from "./client/command";
import { DEFAULT_OS_THREADS, type LoadPlan } from "./client/load";
import { count, duration, durationOption, refuseOptions } from "./command/arguments";
import { EXIT, reportError } from "./command/exit";
import { guardOutput } from "./command/output";
import { control, VERBS, type Verb } from "./ctl/command";
import { runDemo } from "./demo/demo";
import { addLimit } from "./limit/define";
import { runRepair } from "./repair/command";
import { dynamicPool, type PoolOptions, staticPool, type Work } from "./serve/options";
import { parseRunAs } from "./serve/run-as";
import { Front } from "./serve/server";
import { runStatus } from "./status/command";

const DEFAULT_LOG = "/tmp/myserver.log";
const DEFAULT_BACKLOG = 4096;

/** Runs one command; returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.yes;
  const program = createProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    return reportError(error);
  }
}

function createProgram(exit: (code: number) => void): Command {
  const program = new Command("kilofork")
    .description(
      "a pre-forking TCP server, its load client, and the proof of how many it serves at once",
    )
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        guardOutput();
        process.stdout.write(text);
      },
    })
    // Not for serve: Node would make a pipe non-blocking that is its children's log, too.
    .hook("preAction", (_, action) => {
      if (action.name() !== "serve") guardOutput();
    })
    .showHelpAfterError("(--help shows every option)");
  addServe(program, exit);
  addClient(program, exit);
  addAudit(program, exit);
  addRepair(program, exit);
  addStatus(program, exit);
  addCtl(program);
  addLimit(program, exit);
  addDemo(program, exit);
  return program;
}

const children = count("children", 1, MOST_CHILDREN);

function addServe(program: Command, exit: (code: number) => void): void {
  program
    .command("serve")
    .summary("the server")
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

export function parseWork(text: string): Work {
  const [kind, time, ...rest] = text.split(":");
  if (kind === "none" && time === undefined) return { kind };
  if ((kind !== "sleep" && kind !== "spin") || time === undefined || rest.length > 0)
    throw new KiloforkError("ERR_ARGUMENT", `--work "${text}": write none, sleep:3s or spin:5ms`);
  return { kind, durationMs: parseDuration(time) };
}

function addClient(program: Command, exit: (code: number) => void): void {
  program
    .command("client")
    .summary("the load client")
    .description(
      "Sends <message> and its own number from each of <threads> clients, all at the same time, and\n" +
        "compares every reply byte for byte. With several requests a client: lalala 17.3 is the\n" +
        "third of client 17.",
    )
    .argument("<host>", "tries each address that the name has")
    .argument("<port>", "", count("port", 1, 65535))
    .argument(
      "<threads>",
      "clients, each with a connection of its own",
      count("threads", 1, MOST_CLIENTS),
    )
    .argument("<message>", '<username>:<message>, e.g. "arijort:message for you"')
    .option(
      "--requests <n>",
      "of each client, one after the other (default: 1, or no end with --duration)",
      count("requests", 1, MOST_REQUESTS),
    )
    .addOption(new Option("--duration <D>", "send for so long").argParser(duration))
    .option(
      "--rate <n>",
      "open loop: so many requests a second over all clients; latency counts from the intended send time",
      count("rate", 1, MOST_REQUESTS_A_SECOND),
    )
    .addOption(durationOption("--ramp <D>", "spread the connects over so long", "0"))
    .option(
      "--window <n>",
      "so many may wait for their first greeting at a time: no more than the accept queue holds (default: all)",
      count("window", 1, MOST_CLIENTS),
    )
    .option("--from <address>", "connect from this address of ours (default: the kernel chooses)")
    .option("--barrier", "send when all have been greeted", false)
    .option("--reconnect", "a new connection for each request", false)
    .addOption(durationOption("--timeout <D>", "for a greeting, and for a reply", "30s"))
    .addOption(
      new Option("--connect-timeout <D>", "for a greeting (default: --timeout)").argParser(
        duration,
      ),
    )
    .option(
      "--os-threads <n>",
      "threads that drive the connections",
      count("os-threads", 1, 64),
      DEFAULT_OS_THREADS,
    )
    .addOption(
      new Option(
        "--beyond <D>",
        "the server's --work: the result also tells what replies took beyond it",
      ).argParser(duration),
    )
    .option("--json", "print the result as one JSON object, nothing else", false)
    .option("--out <file>", "write the result as JSON, for kilofork audit --client")
    .option("--histograms", "with both: encoded, to be merged with those of other clients", false)
    .option("--stop-at-eof", "stop when standard input ends: with whoever started it", false)
    .action(async (host: string, port: number, clients: number, message: string, options) => {
      const addresses = await resolveHost(host);
      const plan: LoadPlan = {
        host,
        addresses: options.from === undefined ? addresses : likeOurs(addresses, options.from),
        from: options.from,
        port,
        clients,
        message,
        requests: options.requests ?? (options.duration > 0 ? 0 : 1),
        durationMs: options.duration ?? 0,
        rate: options.rate ?? 0,
        rampMs: options.ramp,
        window: options.window,
        barrier: options.barrier,
        reconnect: options.reconnect,
        workMs: options.beyond,
        histograms: options.histograms,
        connectTimeoutMs: options.connectTimeout ?? options.timeout,
        replyTimeoutMs: options.timeout,
        osThreads: options.osThreads,
      };
      if (plan.connectTimeoutMs === 0 || plan.replyTimeoutMs === 0)
        throw new KiloforkError(
          "ERR_ARGUMENT",
          "--timeout 0: a client that never gives up is not offered",
        );
      if (plan.durationMs > 0 && plan.rampMs > plan.durationMs)
        throw new KiloforkError(
          "ERR_ARGUMENT",
          "--ramp is longer than --duration: the last clients would never connect",
        );
      const { json, out, stopAtEof } = options;
      const output: ClientOutput = { json, out, stopAtEof };
      exit(await runClient(plan, output));
    });
}

function addAudit(program: Command, exit: (code: number) => void): void {
  program
    .command("audit")
    .summary("proves concurrency and checks the ledger, from the log")
    .description(
      "Reads the last run in a log: how many requests were in flight at one instant, and whether\n" +
        "replies <= counted <= completed <= counted + died. Exit 1 when the books do not balance.",
    )
    .argument("[log...]", "several files of one log: the oldest first", [DEFAULT_LOG])
    .option("--client <file>", "the result of kilofork client --out, as the other side")
    .option("--match <prefix>", "only requests whose message begins with it, as written in the log")
    .option("--at-least <n>", "the peak must reach it", count("at-least", 1, MOST_CLIENTS), 0)
    .option("--all", "every run in the log", false)
    .option("--json", "print the result as one JSON object, nothing else", false)
    .action((logs: string[], options) => {
      exit(
        runAudit({
          logs,
          clientFile: options.client,
          match: options.match,
          atLeast: options.atLeast,
          all: options.all,
          json: options.json,
        }),
      );
    });
}

function addRepair(program: Command, exit: (code: number) => void): void {
  program
    .command("repair")
    .summary("a clean copy of a log, after a crash")
    .description(
      "Copies every whole record, and leaves out what is torn, foreign or destroyed; says what, and\n" +
        "where. The log itself is only read.",
    )
    .argument("<log>", "the file that the server wrote")
    .requiredOption("--out <file>", "the copy; must not be there yet")
    .option("--rejected <file>", "gets what is left out, a line each: offset, kind, bytes")
    .option("--json", "print the result as one JSON object, nothing else", false)
    .action((log: string, { out, rejected, json }) => {
      exit(runRepair({ log, out, rejected }, json));
    });
}

function addStatus(program: Command, exit: (code: number) => void): void {
  program
    .command("status")
    .summary("what the children of a running server are doing")
    .description(
      "Reads the server's shared memory, and asks the kernel for its queue. Nothing\n" +
        "is asked of the server: it works while the front is stopped, too.",
    )
    .argument("[port]", "of the server, where several run", count("port", 1, 65535))
    .option("--pid <n>", "of the server, where several have that port", count("pid", 1, 2 ** 22))
    .addOption(
      new Option("--watch [D]", "again and again, until the server ends")
        .argParser(duration)
        .preset("1s"),
    )
    .option(
      "--json",
      "print one JSON object and nothing else; with --watch, one on each line",
      false,
    )
    .action(async (port: number | undefined, { pid, watch, json }) => {
      exit(await runStatus({ port, pid, json, watchMs: watch ?? 0 }));
    });
}

function addCtl(program: Command): void {
  program
    .command("ctl")
    .summary("gives a running server an order, and waits until it is done")
    .description(
      "stop     requests in work finish, then it ends\n" +
        "reload   reads the users again, and opens the log again if it was renamed\n" +
        "reopen   opens the log again after a rename; done when the last child has left the old one\n" +
        "replace  all children and the supervisor, a part at a time; no connection is refused",
    )
    .addArgument(new Argument("<verb>").choices(VERBS))
    .argument("[port]", "of the server, where several run", count("port", 1, 65535))
    .option("--pid <n>", "of the server, where several have that port", count("pid", 1, 2 ** 22))
    .addOption(
      durationOption("--timeout <D>", "how long to wait for the end; 0 for no limit", "60s"),
    )
    .action(async (verb: Verb, port: number | undefined, { pid, timeout }) => {
      process.stdout.write(`${await control({ verb, port, pid, timeoutMs: timeout })}\n`);
    });
}

function addDemo(program: Command, exit: (code: number) => void): void {
  program
    .command("demo")
    .summary("server, clients and audit in one go")
    .description("Runs 1000 clients against 1000 processes and lets four witnesses speak.")
    .option("--clients <n>", "clients", count("clients", 1, 25_000), 1000)
    .option(
      "--children <n>",
      "processes of the server (default: as many as clients)",
      count("children", 1, 25_000),
    )
    .addOption(durationOption("--work <D>", "what each request takes", "3s"))
    .addOption(
      new Option("--hold [D]", "stay at the peak, to look with other tools")
        .argParser(duration)
        .preset("60s"),
    )
    .option("--json", "print the result as one JSON object, nothing else", false)
    .action(async (options) => {
      exit(
        await runDemo({
          clients: options.clients,
          children: options.children ?? options.clients,
          workMs: options.work,
          holdMs: options.hold ?? 0,
          json: options.json,
        }),
      );
    });
}
