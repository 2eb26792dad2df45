/** The text of `kilofork client`: a function of its result and of nothing else. */
import { plural, showCount, showDuration } from "../base/units";
import type { Percentiles } from "./latency";
import { type ClientResult, describeFailures } from "./load";

/** As native/core/load/stalls.hpp has it. */
const STALL_MS = 20;

/** Programs may rely on the first line; the rest is for people. */
export function showResult(result: ClientResult, out: string | undefined): string {
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
      `${showCount(result.clients)} on ${threads}, ${showCount(greeted.clients)} ${result.processPer === "request" ? "greeted; replies" : "greeted"} by ${plural(greeted.pids, "server pid")} at ${result.address}`,
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
      requests.verified === 0
        ? "no reply"
        : `${showCount(result.requestsPerSecond)} requests/s; ${showDuration(result.elapsedMs)} from first connect to last reply (${loop})`,
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
    line("next", `kilofork audit --client ${out ?? "FILE, after a run with --out FILE"}`),
  ].join("\n");
}

function latencyRow(name: string, { count, p50, p90, p99, p999, max }: Percentiles): string {
  const cells = [p50, p90, p99, p999, max].map((ms) => (count === 0 ? "-" : showDuration(ms)));
  return `${name.padEnd(9)}${cells.map((cell) => cell.padStart(9)).join("")}`;
}

function describeLag({ lagMs, replyMs, clientWasBottleneck }: ClientResult): string {
  if (lagMs.count === 0) return "own lag not measured";
  // A client that was stopped for a moment does not show in p99 of a long run.
  const most = lagMs.max >= STALL_MS ? `, max ${showDuration(lagMs.max)}` : "";
  const lag = `own lag p99 ${showDuration(lagMs.p99)}${most}`;
  if (!clientWasBottleneck) return `${lag}: not the bottleneck`;
  const share = Math.round((100 * lagMs.p99) / Math.max(replyMs.p50, 1e-6));
  return `${lag}, ${share} % of the median reply: the client was the bottleneck; use more --os-threads or another machine`;
}
