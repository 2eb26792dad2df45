/** What `kilofork demo` has shown: the numbers of the four witnesses, the books, and the text. */
import { type AuditResult, audit } from "../audit/audit";
import { showCount, showDuration, writeDuration } from "../base/units";
import type { ClientResult } from "../client/load";
import type { DemoOptions, Evidence } from "./demo";
import { drawInFlight, type Point } from "./picture";

/** The result, as `--json` gives it. */
export interface Outcome {
  readonly kind: "demo";
  readonly schema: 1;
  readonly ok: boolean;
  readonly problems: readonly string[];
  /** What every witness saw at one instant: the least of their numbers. */
  readonly concurrent: number;
  readonly clients: number;
  readonly children: number;
  readonly witnesses: {
    readonly client: ClientResult["inFlight"];
    readonly log: { readonly peak: number; readonly pids: number; readonly heldMs: number };
    readonly memory: number;
    readonly kernel: number;
  };
  readonly books: {
    readonly replies: number;
    readonly counted: number;
    readonly completed: number;
    readonly balanced: boolean;
  };
  readonly upMs: number;
  readonly requestsPerSecond: number;
  readonly requestsPerSecondNoWork: number;
  readonly evidence: string;
}

export function judge(
  options: DemoOptions,
  { client, instant, folder, server, log }: Evidence,
  result: AuditResult,
  speed: number,
): Outcome {
  const [run] = result.runs;
  const witnesses = {
    client: client.inFlight,
    log: { peak: run?.peak ?? 0, pids: run?.pids ?? 0, heldMs: run?.peakHeldMs ?? 0 },
    memory: instant.working,
    kernel: instant.accepted,
  };
  const concurrent = Math.min(
    witnesses.client.pids,
    witnesses.log.pids,
    witnesses.memory,
    witnesses.kernel,
  );
  return {
    kind: "demo",
    schema: 1,
    ok: result.ok && client.ok && concurrent >= options.clients,
    problems: [...new Set([...client.problems, ...result.problems])],
    concurrent,
    clients: options.clients,
    children: options.children,
    witnesses,
    books: {
      replies: client.requests.verified,
      counted: run?.ledger.counted ?? 0,
      completed: run?.ledger.completed ?? 0,
      balanced: audit({ logs: [log], client, atLeast: 0, all: false }).ok,
    },
    upMs: server.upMs,
    requestsPerSecond: client.requestsPerSecond,
    requestsPerSecondNoWork: speed,
    evidence: folder,
  };
}

export function showOutcome(outcome: Outcome, points: readonly Point[], workMs: number): string {
  const { witnesses, books, clients } = outcome;
  const { client, log, memory, kernel } = witnesses;
  const row = (name: string, text: string) => `  ${name.padEnd(10)}${text}`;
  const seen = (text: string, proof: string) => `${text.padEnd(40)}${proof}`;
  const rate = `${showCount(outcome.requestsPerSecond)} requests/s (${writeDuration(workMs)} of work allows ${showCount((clients * 1000) / workMs)})`;
  return [
    "  in flight",
    ...drawInFlight(points, clients, workMs / 3).map((line) => `  ${line}`),
    "",
    row("witness", "at one instant"),
    row(
      "client",
      seen(
        `${client.peak} greeted by ${client.pids} pids, unanswered`,
        `for ${showDuration(client.heldMs)}`,
      ),
    ),
    row(
      "log",
      seen(
        `${log.peak} received, not completed`,
        `for ${showDuration(log.heldMs)}, ${log.pids} pids`,
      ),
    ),
    row("memory", seen(`${memory} slots working`, "one snapshot")),
    row("kernel", seen(`${kernel} accepted connections`, "/proc/net/tcp")),
    "",
    row(
      "books",
      `${books.replies} replies <= ${books.counted} counted <= ${books.completed} completed    ${books.balanced ? "balanced" : "NOT BALANCED"}`,
    ),
    row("speed", `${rate}; ${showCount(outcome.requestsPerSecondNoWork)}/s with --work none`),
    "",
    ...outcome.problems.map((problem) => `  ${problem}`),
    `${outcome.ok ? "PROVED" : "NOT PROVED"}  ${outcome.concurrent} of ${clients} concurrent.   Evidence: ${outcome.evidence}`,
    "        Look yourself: kilofork demo --hold    See it fail: kilofork demo --children 999",
  ].join("\n");
}
