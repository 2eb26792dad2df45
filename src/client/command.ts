/** `kilofork client`: what it prints, and how it exits. */
import { SingleBar } from "cli-progress";
import { KiloforkError } from "../base/errors";
import { plural, showCount, showDuration } from "../base/units";
import { EXIT } from "../command/exit";
import { openResult } from "../command/output";
import { problemsOfClient, readMachine } from "../machine/capacity";
import type { Percentiles } from "./latency";
import { type ClientResult, describeFailures, Load, type LoadPlan } from "./load";

export interface ClientOutput {
  readonly json: boolean;
  readonly out: string | undefined;
  /** Stop when standard input ends. */
  readonly stopAtEof: boolean;
}

/** The exit code; a failure throws a KiloforkError. */
export async function runClient(plan: LoadPlan, output: ClientOutput): Promise<number> {
  const load = new Load(plan);
  const problems = problemsOfClient(readMachine(), plan);
  if (problems.length > 0) throw new KiloforkError("ERR_MACHINE_LIMIT", problems.join("\n"));
  const save = openResult(output.out, "result");
  if (!output.json)
    process.stdout.write(
      `connecting to host:port ${plan.host}:${plan.port} with ${plan.clients} threads\n`,
    );
  const result = await withProgress(load, plan, output);
  const json = JSON.stringify(result, null, 2);
  process.stdout.write(`${output.json ? json : summarize(result, output.out)}\n`);
  save?.(`${json}\n`);
  return judge(result);
}

function judge(result: ClientResult): number {
  if (result.interrupted) return 128 + 2; // SIGINT
  if (!result.ok) throw new KiloforkError("ERR_REQUEST", result.problems.join("; "));
  if (result.loop === "open" && result.clientWasBottleneck)
    throw new KiloforkError(
      "ERR_BOTTLENECK",
      "the client was the bottleneck, the rate was not kept; use more --os-threads, more clients or a lower --rate",
    );
  return EXIT.yes;
}

/** Shows a bar on a terminal, and lets Ctrl-C end the run with what there is. */
async function withProgress(
  load: Load,
  plan: LoadPlan,
  { json, stopAtEof }: ClientOutput,
): Promise<ClientResult> {
  const interrupt = () => load.interrupt();
  process.once("SIGINT", interrupt);
  if (stopAtEof) process.stdin.resume().once("end", interrupt);
  const total = plan.requests * plan.clients;
  const show = process.stderr.isTTY && !json && plan.requests > 0;
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
    process.removeListener("SIGINT", interrupt);
    if (stopAtEof) process.stdin.destroy();
  }
}

/** The first line is the documented one; the rest is for readers. */
export function summarize(result: ClientResult, out: string | undefined): string {
  const { requests, greeted, inFlight } = result;
  const line = (name: string, text: string) => `${name.padEnd(11)}${text}`;
  const threads = plural(result.osThreads, "OS thread");
  const loop =
    result.loop === "open"
      ? "open loop, latency from the intended send"
      : "closed loop; --rate for open loop";
  return [
    `handled ${requests.verified} requests`,
    "",
    line(
      "clients",
      `${showCount(result.clients)} on ${threads}, ${showCount(greeted.clients)} greeted by ${plural(greeted.pids, "server pid")} at ${result.address}`,
    ),
    line(
      "requests",
      `${showCount(requests.sent)} sent   ${showCount(requests.verified)} verified   ${showCount(requests.failed)} failed`,
    ),
    ...result.failures.map((failure, i) =>
      line(i === 0 ? "failed" : "", describeFailures(failure)),
    ),
    line(
      "in flight",
      `${showCount(inFlight.peak)} at once for ${showDuration(inFlight.heldMs)}, in ${plural(inFlight.pids, "process", "processes")}`,
    ),
    line(
      "rate",
      `${showCount(result.requestsPerSecond)} requests/s; ${showDuration(result.elapsedMs)} from first connect to last reply (${loop})`,
    ),
    `${" ".repeat(9)}${["p50", "p90", "p99", "p99.9", "max"].map((name) => name.padStart(9)).join("")}`,
    latencyRow("connect", result.connectMs),
    latencyRow("reply", result.replyMs),
    line("client", describeLag(result)),
    ...(result.synRetransmits > 0
      ? [
          line(
            "network",
            `${plural(result.synRetransmits, "SYN")} sent again: an accept queue was full (--backlog)`,
          ),
        ]
      : []),
    line("next", `kilofork audit --client ${out ?? "FILE, with --out FILE here"}`),
  ].join("\n");
}

function latencyRow(name: string, { p50, p90, p99, p999, max }: Percentiles): string {
  return `${name.padEnd(9)}${[p50, p90, p99, p999, max].map((ms) => showDuration(ms).padStart(9)).join("")}`;
}

function describeLag({ lagMs, replyMs, clientWasBottleneck }: ClientResult): string {
  if (lagMs.count === 0) return "own lag not measured";
  const lag = `own lag p99 ${showDuration(lagMs.p99)}`;
  if (!clientWasBottleneck) return `${lag}: not the bottleneck`;
  const share = Math.round((100 * lagMs.p99) / Math.max(replyMs.p50, 1e-6));
  return `${lag}, ${share} % of the median reply: the client was the bottleneck; use more --os-threads or another machine`;
}
