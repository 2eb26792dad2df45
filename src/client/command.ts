/** `kilofork client`: the load client on the command line. */
import { SingleBar } from "cli-progress";
import { type Command, Option, type OptionValues } from "commander";
import { KiloforkError } from "../base/errors";
import { MOST_CLIENTS, MOST_REQUESTS, MOST_REQUESTS_A_SECOND } from "../base/ranges";
import { reachableFrom, resolveHost } from "../base/resolve";
import {
  count,
  duration,
  durationOption,
  jsonOption,
  processPerOption,
  refuseNamed,
} from "../command/arguments";
import { EXIT, exitCodeOfSignal } from "../command/exit";
import { lostOutput, openResult } from "../command/output";
import { problemsOfClient, readMachine } from "../machine/capacity";
import { heeded } from "../machine/signals";
import { canRedraw, Terminal } from "../machine/terminal";
import { type ClientResult, DEFAULT_OS_THREADS, Load, type LoadPlan } from "./load";
import { showResult } from "./text";

export function addClient(program: Command, exit: (code: number) => void): void {
  const command = program
    .command("client")
    .summary("run the load client")
    .description(
      "Sends <message>, followed by a number, from each of <threads> clients at the same time, and compares every reply byte for byte. The number is that of the client, from 1; with several requests a client, the third request of client 17 is 17.3.",
    )
    .argument("<host>", "host of the server; each of its addresses is tried")
    .argument("<port>", "port of the server", count("port", 1, 65535))
    .argument(
      "<threads>",
      "number of clients, each with a connection of its own",
      count("threads", 1, MOST_CLIENTS),
    )
    .argument("<message>", '<username>:<message>, e.g. "arijort:message for you"')
    .option(
      "--requests <n>",
      "number of requests of each client, one after the other (default: 1, or no limit with --duration)",
      count("requests", 1, MOST_REQUESTS),
    )
    .addOption(new Option("--duration <D>", "time to send requests for").argParser(duration))
    .option(
      "--rate <n>",
      "requests a second over all clients, sent on schedule (open loop); latency counts from the scheduled time",
      count("rate", 1, MOST_REQUESTS_A_SECOND),
    )
    .addOption(durationOption("--ramp <D>", "time over which the connects are spread", "0"))
    .option(
      "--window <n>",
      "maximum number of clients that wait for their first greeting; choose at most what the accept queue holds (default: all)",
      count("window", 1, MOST_CLIENTS),
    )
    .option("--from <address>", "local address to connect from (default: the kernel's choice)")
    .option("--barrier", "send when all clients have been greeted", false)
    .option("--reconnect", "open a new connection for each request", false)
    .addOption(processPerOption("what has a process of its own in the server"))
    .addOption(durationOption("--timeout <D>", "maximum time to wait for a reply", "30s"))
    .addOption(
      new Option(
        "--connect-timeout <D>",
        "maximum time to wait for a greeting (default: --timeout)",
      ).argParser(duration),
    )
    .option(
      "--os-threads <n>",
      "number of threads that drive the connections",
      count("os-threads", 1, 64),
      DEFAULT_OS_THREADS,
    )
    .addOption(
      new Option(
        "--beyond <D>",
        "duration of the server's work; adds the time that replies took beyond it to the result",
      ).argParser(duration),
    )
    .addOption(jsonOption())
    .option("--out <file>", "file for the result as JSON, for kilofork audit --client")
    .option(
      "--histograms",
      "add encoded histograms to the JSON, to be merged with those of other clients",
      false,
    )
    .option("--stop-at-eof", "stop when standard input ends", false)
    .action(async (host: string, port: number, clients: number, message: string, options) => {
      const addresses = await resolveHost(host);
      const plan = planOf({ host, addresses, port, clients, message }, options);
      exit(await runClient(plan, options));
    });
  const example = 'kilofork client localhost 31337 10 "arijort:hello"';
  refuseNamed(command, ["host", "port"], example);
}

type Target = Pick<LoadPlan, "host" | "addresses" | "port" | "clients" | "message">;

function planOf(target: Target, options: OptionValues): LoadPlan {
  const { from } = options;
  const plan: LoadPlan = {
    ...target,
    ...(from === undefined ? {} : reachableFrom(from, target.addresses)),
    requests: options.requests ?? (options.duration > 0 ? 0 : 1),
    durationMs: options.duration ?? 0,
    rate: options.rate ?? 0,
    rampMs: options.ramp,
    window: options.window,
    barrier: options.barrier,
    reconnect: options.reconnect,
    processPer: options.processPer,
    workMs: options.beyond,
    histograms: options.histograms,
    connectTimeoutMs: options.connectTimeout ?? options.timeout,
    replyTimeoutMs: options.timeout,
    osThreads: options.osThreads,
  };
  if (plan.connectTimeoutMs === 0 || plan.replyTimeoutMs === 0)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      "--timeout 0: a client cannot wait without limit; give a longer time",
    );
  if (plan.durationMs > 0 && plan.rampMs > plan.durationMs)
    throw new KiloforkError(
      "ERR_ARGUMENT",
      "--ramp is longer than --duration: the last clients would never connect",
    );
  return plan;
}

interface ClientOutput {
  readonly json: boolean;
  readonly out: string | undefined;
  readonly stopAtEof: boolean;
}

async function runClient(plan: LoadPlan, output: ClientOutput): Promise<number> {
  const load = new Load(plan);
  const problems = problemsOfClient(readMachine(), plan);
  if (problems.length > 0) throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"));
  const save = openResult(output.out, "result");
  const end = new EarlyEnd(load, output.stopAtEof);
  try {
    if (!output.json)
      process.stdout.write(
        `connecting to host:port ${plan.host}:${plan.port} with ${plan.clients} threads\n`,
      );
    const result = await runWithProgress(load, plan, output.json);
    const json = JSON.stringify(result, null, 2);
    try {
      save?.(`${json}\n`); // first: standard output may be gone
    } finally {
      await print(`${output.json ? json : showResult(result, output.out)}\n`);
    }
    return end.code ?? judge(result);
  } finally {
    end.forget();
  }
}

/** Resolves when the text is written, or is lost: then there was an error event. */
function print(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => setImmediate(resolve)));
}

function judge(result: ClientResult): number {
  const overdue = result.failures.filter(({ kind }) => kind === "overdue").length;
  const onlyLate = result.problems.length === overdue;
  if (result.loop === "open" && result.clientWasBottleneck && onlyLate)
    throw new KiloforkError(
      "ERR_BOTTLENECK",
      "the client was the bottleneck, the rate was not kept; use more --os-threads, more clients or a lower --rate",
    );
  if (!result.ok) throw new KiloforkError("ERR_REQUEST", result.problems.join("; "));
  return EXIT.yes;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Ends a load early, with the result of what there was: by a signal, however often it comes, when
 * nobody reads standard output any more, or when standard input ends.
 */
class EarlyEnd {
  /** The exit code for the first reason to end early. */
  code: number | undefined;
  private readonly terminal = new Terminal();

  constructor(
    private readonly load: Load,
    private readonly stopAtEof: boolean,
  ) {
    for (const signal of heeded(SIGNALS)) process.on(signal, this.onSignal);
    process.stdout.on("error", this.onLostOutput);
    process.stderr.on("error", this.ignore); // after a hang-up of the terminal
    if (stopAtEof) process.stdin.resume().once("end", this.onEndOfInput);
  }

  /** But signals stay harmless: the process ends with its own exit code. */
  forget(): void {
    process.stdout.off("error", this.onLostOutput);
    process.stderr.off("error", this.ignore);
    if (this.stopAtEof) process.stdin.destroy();
  }

  private readonly onSignal = (signal: NodeJS.Signals) => {
    if (signal === "SIGHUP" && this.terminal.hasHungUp()) this.terminal.release();
    this.end(exitCodeOfSignal(signal));
  };
  private readonly onEndOfInput = () => this.end(exitCodeOfSignal("SIGINT"));
  private readonly onLostOutput = (error: Error) => this.end(this.code ?? lostOutput(error));
  private readonly ignore = () => {};

  private end(code: number): void {
    this.code ??= code;
    this.load.interrupt();
  }
}

/** Runs the load, with a progress bar on a terminal. */
async function runWithProgress(load: Load, plan: LoadPlan, json: boolean): Promise<ClientResult> {
  const total = plan.requests * plan.clients;
  const show = canRedraw(process.stderr) && !json && plan.requests > 0;
  const bar = new SingleBar({
    format: "{bar} {percentage}% | {value}/{total} requests | {duration_formatted}",
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stderr,
  });
  const timer = show ? setInterval(() => bar.update(load.handled()), 100) : undefined;
  if (show) bar.start(total, 0);
  try {
    return await load.run();
  } finally {
    clearInterval(timer);
    if (show) bar.stop();
  }
}
